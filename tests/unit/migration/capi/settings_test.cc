// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/settings.h"

#include <gtest/gtest.h>

#include "tern/catalog.h"
#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

tern_setting_info info_at(size_t index) {
  tern_setting_info info{};
  info.size = sizeof(info);
  EXPECT_EQ(tern_setting_at(index, &info, nullptr), TERN_OK);
  return info;
}

TEST(CSettings, the_catalog_is_that_of_cxx) {
  const auto all = settings_catalog();
  ASSERT_EQ(tern_setting_count(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const SettingInfo& cxx = all[i];
    const tern_setting_info c = info_at(i);
    size_t index = 0;
    EXPECT_EQ(c.name, cxx.name);
    EXPECT_EQ(tern_setting_find(c.name, &index, nullptr), TERN_OK);
    EXPECT_EQ(index, i);
    EXPECT_EQ(c.unit, cxx.unit) << c.name;
    EXPECT_EQ(c.since, cxx.since) << c.name;
    EXPECT_EQ(c.help, cxx.help) << c.name;
    EXPECT_EQ(c.not_below, cxx.not_below) << c.name;
    EXPECT_EQ(c.min, cxx.min) << c.name;
    EXPECT_EQ(c.max, cxx.max) << c.name;
    EXPECT_EQ(tern_setting_type_name(c.type), to_string(cxx.type)) << c.name;
    EXPECT_EQ(tern_acts_on_name(c.acts_on), to_string(cxx.acts_on)) << c.name;
    EXPECT_EQ(c.capability != 0, cxx.capability) << c.name;
    EXPECT_EQ(c.qmp_only != 0, cxx.qmp_only) << c.name;
    EXPECT_EQ(c.unstable != 0, cxx.unstable) << c.name;
    EXPECT_EQ(c.deprecated != 0, cxx.deprecated) << c.name;
    EXPECT_EQ(c.live != 0, cxx.live) << c.name;
    EXPECT_EQ(c.before_listening != 0, cxx.before_listening) << c.name;
  }
}

using Nth = const char* (*)(size_t, size_t);
void expect_texts(size_t index, Nth nth, size_t count, std::span<const std::string_view> cxx) {
  ASSERT_EQ(count, cxx.size());
  for (size_t n = 0; n < count; ++n) EXPECT_EQ(nth(index, n), cxx[n]);
  EXPECT_EQ(nth(index, count), nullptr);
}

TEST(CSettings, words_needs_and_excludes_are_those_of_cxx) {
  const auto all = settings_catalog();
  for (size_t i = 0; i < all.size(); ++i) {
    const tern_setting_info c = info_at(i);
    expect_texts(i, tern_setting_word, c.word_count, all[i].words);
    expect_texts(i, tern_setting_needs, c.needs_count, all[i].needs);
    expect_texts(i, tern_setting_excludes, c.excludes_count, all[i].excludes);
  }
  EXPECT_EQ(tern_setting_word(all.size(), 0), nullptr);
}

TEST(CSettings, every_setting_can_be_read_and_set_to_what_was_read) {
  tern_settings* from = tern_settings_new_qmp();
  tern_settings* to = tern_settings_new();
  for (size_t i = 0; i < tern_setting_count(); ++i) {
    const tern_setting_info info = info_at(i);
    char* text = nullptr;
    const int code = tern_settings_get(from, info.name, &text, nullptr);
    EXPECT_EQ(code, info.qmp_only ? TERN_ERROR_INVALID_ARGUMENT : TERN_OK) << info.name;
    if (code != TERN_OK) continue;
    EXPECT_EQ(tern_settings_set(to, info.name, text, nullptr), TERN_OK) << info.name;
    EXPECT_EQ(take_text(text), *get_by_name(to->value, info.name));
  }
  EXPECT_EQ(to->value.max_bandwidth, qmp_settings().max_bandwidth);
  tern_settings_free(from);
  tern_settings_free(to);
}

TEST(CSettings, the_two_beginnings_are_those_of_cxx) {
  tern_settings* api = tern_settings_new();
  tern_settings* qmp = tern_settings_new_qmp();
  EXPECT_EQ(api->value.return_path, Settings{}.return_path);
  EXPECT_EQ(qmp->value.return_path, qmp_settings().return_path);
  EXPECT_NE(api->value.return_path, qmp->value.return_path);
  tern_settings* copy = tern_settings_copy(qmp);
  EXPECT_EQ(copy->value.return_path, qmp->value.return_path);
  for (tern_settings* settings : {api, qmp, copy}) tern_settings_free(settings);
}

TEST(CSettings, names_and_values_that_do_not_exist_are_told) {
  tern_settings* settings = tern_settings_new();
  tern_error* error = nullptr;
  EXPECT_EQ(tern_settings_set(settings, "speed", "1", &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "no setting 'speed'");
  size_t index = 0;
  EXPECT_EQ(tern_setting_find("speed", &index, &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "no setting 'speed'");
  EXPECT_EQ(tern_settings_set(settings, "return-path", "maybe", nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  tern_setting_info info{};
  info.size = sizeof(info);
  EXPECT_EQ(tern_setting_at(tern_setting_count(), &info, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_settings_free(settings);
}

TEST(CSettings, settings_that_do_not_go_together_are_told_by_the_check) {
  tern_settings* settings = tern_settings_new();
  EXPECT_EQ(tern_settings_check(settings, nullptr), TERN_OK);
  ASSERT_EQ(tern_settings_set(settings, "switchover-ack", "on", nullptr), TERN_OK);
  ASSERT_EQ(tern_settings_set(settings, "return-path", "off", nullptr), TERN_OK);
  EXPECT_EQ(tern_settings_check(settings, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_settings_free(settings);
}

TEST(CSettings, the_peer_version_of_a_machine) {
  EXPECT_STREQ(tern_peer_version_of_machine("pc-q35-8.2"), "qemu-8.2");
  EXPECT_EQ(tern_peer_version_of_machine("none"), nullptr);
}

TEST(CSettings, names_of_types_that_are_none) {
  EXPECT_STREQ(tern_setting_type_name(TERN_SETTING_STRING + 1), "unknown");
  EXPECT_STREQ(tern_acts_on_name(-1), "unknown");
}

}  // namespace
}  // namespace tern::capi
