// SPDX-License-Identifier: Apache-2.0
#include "migration/params/parameters.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tern::params {
namespace {

TEST(Parameters, a_default_constructed_settings_is_the_api_default_of_every_row) {
  const Settings settings;
  for (const ParameterRow& row : kParameters) {
    EXPECT_EQ(get(settings, row), row.api_default) << row.name;
  }
}

TEST(Parameters, qmp_defaults_are_those_of_the_rows) {
  const Settings settings = qmp_defaults();
  for (const ParameterRow& row : kParameters) {
    EXPECT_EQ(get(settings, row), row.qmp_default) << row.name;
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
    const uint64_t value = row.max == row.api_default ? row.min : row.max;
    set(settings, row, value);
    for (const ParameterRow& other : kParameters) {
      EXPECT_EQ(get(settings, other), other.name == row.name ? value : other.api_default)
          << "set " << row.name << ", look at " << other.name;
    }
  }
}

TEST(Parameters, find_knows_every_row_and_nothing_else) {
  for (const ParameterRow& row : kParameters) EXPECT_EQ(find_parameter(row.name), &row);
  EXPECT_EQ(find_parameter("multifd-channels"), nullptr);
  EXPECT_EQ(find_parameter(""), nullptr);
}

TEST(Parameters, live_ones_are_those_that_a_source_updates) {
  std::set<std::string> live;
  for (const ParameterRow& row : kParameters) {
    if (row.live) live.emplace(row.name);
  }
  EXPECT_EQ(live, (std::set<std::string>{"max-bandwidth", "avail-switchover-bandwidth",
                                         "downtime-limit"}));
}

TEST(Parameters, every_type_and_side_has_a_word) {
  EXPECT_EQ(to_string(ValueType::size), "size");
  EXPECT_EQ(to_string(ValueType::uint64), "uint64");
  EXPECT_EQ(to_string(ValueType::uint32), "uint32");
  EXPECT_EQ(to_string(ValueType::enumeration), "enum");
  EXPECT_EQ(to_string(ActsOn::source), "source");
  EXPECT_EQ(to_string(ActsOn::destination), "destination");
  EXPECT_EQ(to_string(ActsOn::both), "both");
}

}  // namespace
}  // namespace tern::params
