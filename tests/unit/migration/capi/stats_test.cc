// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/stats.h"

#include <gtest/gtest.h>

#include "migration/qmp/json_text.h"
#include "tern/catalog.h"
#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

tern_stats some_stats() {
  tern_stats stats;
  stats.value.taken_at = Nanoseconds(5);
  stats.value.status = Status::completed;
  stats.value.ending = Ending::handed_over;
  stats.value.error_desc = "caf\xc3\xa9 \xff";
  stats.value.transferred = 12345;
  stats.value.mbps = 1.5;
  stats.value.tracker = "wp-async";
  stats.value.downtime = Milliseconds(7);
  stats.value.downtime_phases.last_pages = Nanoseconds(700);
  return stats;
}

tern_statistic_info info_at(size_t index) {
  tern_statistic_info info{};
  info.size = sizeof(info);
  EXPECT_EQ(tern_statistic_at(index, &info, nullptr), TERN_OK);
  return info;
}

TEST(CStats, the_catalog_is_that_of_cxx) {
  const auto all = statistics_catalog();
  ASSERT_EQ(tern_statistic_count(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const tern_statistic_info c = info_at(i);
    size_t index = 0;
    EXPECT_EQ(c.name, all[i].name);
    EXPECT_EQ(c.unit, all[i].unit) << c.name;
    EXPECT_EQ(c.since, all[i].since) << c.name;
    EXPECT_EQ(c.help, all[i].help) << c.name;
    EXPECT_EQ(tern_statistic_type_name(c.type), to_string(all[i].type)) << c.name;
    EXPECT_EQ(tern_statistic_find(c.name, &index, nullptr), TERN_OK);
    EXPECT_EQ(index, i);
  }
}

/// What C says of a statistic, as the variant of C++.
StatisticValue read_by_type(const tern_stats& stats, const tern_statistic_info& info) {
  uint64_t number = 0;
  double real = 0;
  char* text = nullptr;
  int code = TERN_OK;
  StatisticValue value;
  if (info.type == TERN_STATISTIC_INTEGER) {
    code = tern_stats_get_u64(&stats, info.name, &number, nullptr);
    value = number;
  } else if (info.type == TERN_STATISTIC_REAL) {
    code = tern_stats_get_double(&stats, info.name, &real, nullptr);
    value = real;
  } else {
    code = tern_stats_get_text(&stats, info.name, &text, nullptr);
    value = take_text(text);
  }
  if (code == TERN_ERROR_FAILED_PRECONDITION) return {};
  EXPECT_EQ(code, TERN_OK) << info.name;
  return value;
}

TEST(CStats, every_statistic_has_the_value_of_cxx) {
  for (const tern_stats& stats : {some_stats(), tern_stats{}}) {
    for (size_t i = 0; i < tern_statistic_count(); ++i) {
      const tern_statistic_info info = info_at(i);
      EXPECT_EQ(read_by_type(stats, info), *statistic(stats.value, info.name)) << info.name;
    }
  }
}

TEST(CStats, what_is_not_known_of_another_type_or_no_name_at_all) {
  const tern_stats stats = some_stats();
  uint64_t number = 0;
  double real = 0;
  char* text = nullptr;
  tern_error* error = nullptr;
  EXPECT_EQ(tern_stats_get_u64(&stats, "ram.speed", &number, &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "no statistic 'ram.speed'");
  EXPECT_EQ(tern_stats_get_u64(&stats, "x-tern.tracker", &number, &error),
            TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "'x-tern.tracker' has another type");
  EXPECT_EQ(tern_stats_get_text(&stats, "ram.transferred", &text, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_stats_get_double(&stats, "status", &real, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  const tern_stats nothing{};
  EXPECT_EQ(tern_stats_get_text(&nothing, "status", &text, nullptr),
            TERN_ERROR_FAILED_PRECONDITION);
  EXPECT_EQ(tern_stats_get_double(&stats, "ram.transferred", &real, nullptr), TERN_OK);
  EXPECT_EQ(real, 12345.0) << "an integer is a number, too";
}

TEST(CStats, the_members_outside_the_catalog) {
  const tern_stats stats = some_stats();
  EXPECT_EQ(tern_stats_status(&stats), TERN_STATUS_COMPLETED);
  EXPECT_EQ(tern_stats_ending(&stats), TERN_ENDING_HANDED_OVER);
  EXPECT_EQ(tern_stats_taken_at(&stats), 5);
  EXPECT_STREQ(tern_stats_error(&stats), "caf\xc3\xa9 \xff");
}

TEST(CStats, as_json_all_is_nested_and_readable) {
  const tern_stats stats = some_stats();
  char* text = nullptr;
  ASSERT_EQ(tern_stats_json(&stats, &text, nullptr), TERN_OK);
  const auto json = qmp::parse_json(take_text(text));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ((*json)["ram"]["transferred"], 12345);
  EXPECT_EQ((*json)["ram"]["mbps"], 1.5);
  EXPECT_EQ((*json)["x-tern"]["downtime-ns"]["last-pages"], 700);
  EXPECT_EQ((*json)["status"], "completed");
}

TEST(CStats, an_index_or_a_name_that_is_none) {
  tern_statistic_info info{};
  info.size = sizeof(info);
  size_t index = 0;
  EXPECT_EQ(tern_statistic_at(tern_statistic_count(), &info, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_statistic_find("speed", &index, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(tern_statistic_type_name(3), "unknown");
}

TEST(CStats, tells_each_step_of_the_throttle) {
  tern_stats stats;
  stats.value.throttle.course = {{Milliseconds(100), 20}, {Milliseconds(300), 0}};
  ASSERT_EQ(tern_stats_throttle_step_count(&stats), 2u);
  tern_throttle_step step{};
  step.size = sizeof step;
  ASSERT_EQ(tern_stats_throttle_step_at(&stats, 0, &step, nullptr), TERN_OK);
  EXPECT_EQ(step.at_ms, 100u);
  EXPECT_EQ(step.percent, 20u);
  EXPECT_NE(tern_stats_throttle_step_at(&stats, 2, &step, nullptr), TERN_OK);
}

TEST(CStats, tells_each_channel) {
  tern_stats stats;
  stats.value.channels.push_back({0, "tcp:a:1", 10, 2, 1, 3, 4, 0});
  stats.value.channels.push_back({1, "tcp:a:1", 20, 4, 2, 6, 8, 5});
  ASSERT_EQ(tern_stats_channel_count(&stats), 2u);
  tern_channel_stats channel{};
  channel.size = sizeof channel;
  ASSERT_EQ(tern_stats_channel_at(&stats, 1, &channel, nullptr), TERN_OK);
  EXPECT_EQ(channel.id, 1u);
  EXPECT_STREQ(channel.peer, "tcp:a:1");
  EXPECT_EQ(channel.bytes, 20u);
  EXPECT_EQ(channel.packets, 4u);
  EXPECT_EQ(channel.syncs, 2u);
  EXPECT_EQ(channel.normal, 6u);
  EXPECT_EQ(channel.zero, 8u);
  EXPECT_EQ(channel.compressed_pages, 5u);
  EXPECT_NE(tern_stats_channel_at(&stats, 2, &channel, nullptr), TERN_OK);
}

}  // namespace
}  // namespace tern::capi
