// SPDX-License-Identifier: Apache-2.0
#include "migration/params/parameters.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tern::params {
namespace {

Value default_of(const ParameterRow& row, uint64_t number) {
  if (row.type == SettingType::string) return std::string();
  return number;
}

TEST(Parameters, a_default_constructed_settings_is_the_api_default_of_every_row) {
  const Settings settings;
  for (const ParameterRow& row : kParameters) {
    EXPECT_EQ(get(settings, row), default_of(row, row.api_default)) << row.name;
  }
}

TEST(Parameters, qmp_defaults_are_those_of_the_rows) {
  const Settings settings = qmp_defaults();
  for (const ParameterRow& row : kParameters) {
    EXPECT_EQ(get(settings, row), default_of(row, row.qmp_default)) << row.name;
  }
  EXPECT_EQ(settings.max_bandwidth, 134217728u);
  EXPECT_FALSE(settings.return_path);
}

TEST(Parameters, a_peer_version_that_nobody_named_stays_unset) {
  EXPECT_FALSE(qmp_defaults().peer_version.has_value());
}

TEST(Parameters, set_writes_the_member_of_its_row_only) {
  for (const ParameterRow& row : kParameters) {
    Settings settings;
    Value value = row.max == row.api_default ? row.min : row.max;
    if (row.type == SettingType::string) value = std::string("vm1.");
    set(settings, row, value);
    for (const ParameterRow& other : kParameters) {
      EXPECT_EQ(get(settings, other),
                other.name == row.name ? value : default_of(other, other.api_default))
          << "set " << row.name << ", look at " << other.name;
    }
  }
}

TEST(Parameters, find_knows_every_row_and_nothing_else) {
  for (const ParameterRow& row : kParameters) EXPECT_EQ(find_parameter(row.name), &row);
  EXPECT_EQ(find_parameter("max-postcopy-bandwidth"), nullptr);
  EXPECT_EQ(find_parameter(""), nullptr);
}

TEST(Parameters, live_ones_are_those_that_update_takes) {
  std::set<std::string> live;
  for (const ParameterRow& row : kParameters) {
    if (row.live) live.emplace(row.name);
  }
  EXPECT_EQ(live,
            (std::set<std::string>{
                "max-bandwidth", "avail-switchover-bandwidth", "downtime-limit", "announce-initial",
                "announce-max", "announce-rounds", "announce-step", "throttle-trigger-threshold",
                "cpu-throttle-initial", "cpu-throttle-increment", "cpu-throttle-tailslow",
                "max-cpu-throttle", "x-vcpu-dirty-limit-period", "vcpu-dirty-limit",
                "xbzrle-cache-size", "compress-wait-thread"}));
}

ParameterRow row_of(SettingType type, Member member, uint64_t min, uint64_t max) {
  return {"x-test", member, type, "", min, max, 0, 0, false, ActsOn::both, "", true, false, "h"};
}

TEST(Parameters, text_of_each_type_goes_there_and_back) {
  const auto there_and_back = [](const ParameterRow& row, std::string_view text) {
    const Result<Value> value = value_from_text(row, text);
    return value ? value_to_text(row, *value) : "error: " + value.error().message();
  };
  const ParameterRow size = row_of(SettingType::size, &Settings::max_bandwidth, 0, kAnyU64);
  EXPECT_EQ(there_and_back(size, "1500"), "1500");
  EXPECT_EQ(there_and_back(size, "0x10"), "16");
  EXPECT_EQ(there_and_back(size, "32M"), "33554432");
  EXPECT_EQ(there_and_back(size, "15e"), "17293822569102704640");
  EXPECT_EQ(there_and_back(size, "18446744073709551615"), "18446744073709551615");
  const ParameterRow flag = row_of(SettingType::boolean, &Settings::return_path, 0, 1);
  for (const char* on : {"on", "true", "yes"}) EXPECT_EQ(there_and_back(flag, on), "on");
  for (const char* off : {"off", "false", "no"}) EXPECT_EQ(there_and_back(flag, off), "off");
  const ParameterRow& peer = *find_parameter("x-peer-version");
  EXPECT_EQ(there_and_back(peer, "qemu-9.0"), "qemu-9.0");
  const ParameterRow& prefix = *find_parameter("x-thread-prefix");
  EXPECT_EQ(there_and_back(prefix, "vm1."), "vm1.");
  EXPECT_EQ(there_and_back(prefix, ""), "");
}

TEST(Parameters, text_that_is_no_value_is_refused_with_what_is_possible) {
  const ParameterRow size = row_of(SettingType::size, &Settings::max_bandwidth, 0, kAnyU64);
  for (const char* bad : {"", "M", "1.5M", "-1", " 1", "16E", "1MM", "0x", "0xg", "1k "}) {
    EXPECT_FALSE(value_from_text(size, bad).has_value()) << bad;
  }
  const ParameterRow& limit = *find_parameter("downtime-limit");
  const Result<Value> beyond = value_from_text(limit, "2000001");
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().message(),
            "Parameter 'downtime-limit' takes 0..2000000 ms, not '2000001'");
  EXPECT_FALSE(value_from_text(limit, "1K").has_value()) << "a number has no suffix";
  EXPECT_FALSE(value_from_text(*find_parameter("x-peer-version"), "qemu-1.0").has_value());
  EXPECT_FALSE(value_from_text(*find_parameter("x-thread-prefix"), "123456789").has_value());
  const ParameterRow flag = row_of(SettingType::boolean, &Settings::return_path, 0, 1);
  EXPECT_FALSE(value_from_text(flag, "1").has_value());
}

}  // namespace
}  // namespace tern::params
