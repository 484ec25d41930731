// SPDX-License-Identifier: Apache-2.0
#include "migration/params/validate.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "migration/params/parameters.h"

namespace tern::params {
namespace {

/// A string's range is its length.
Value end_of(const ParameterRow& row, uint64_t end) {
  if (row.type == SettingType::string) return std::string(end, 'x');
  return end;
}

TEST(Validate, both_defaults_are_valid) {
  EXPECT_TRUE(validate(Settings{}).has_value());
  EXPECT_TRUE(validate(qmp_defaults()).has_value());
}

/// The parameter that `row` may not be below, at its least.
void lower_bound_of(Settings& settings, const ParameterRow& row) {
  if (const ParameterRow* bound = find_parameter(row.not_below)) {
    set(settings, *bound, end_of(*bound, bound->min));
  }
}

TEST(Validate, a_size_that_must_be_a_power_of_two_is_refused_otherwise) {
  Settings settings;
  settings.xbzrle_cache_size = 5000;
  EXPECT_EQ(
      validate(settings).error().message(),
      "Parameter 'xbzrle-cache-size' must be 4096..9223372036854775808 bytes, a power of two, "
      "not 5000");
  EXPECT_FALSE(set_by_name(settings, "xbzrle-cache-size", "3M").has_value());
  EXPECT_TRUE(set_by_name(settings, "xbzrle-cache-size", "4M").has_value());
  EXPECT_TRUE(validate(settings).has_value());
}

TEST(Validate, the_ends_of_every_range_are_valid) {
  for (const ParameterRow& row : kParameters) {
    Settings settings;
    lower_bound_of(settings, row);
    set(settings, row, end_of(row, row.min));
    EXPECT_TRUE(validate(settings).has_value()) << row.name;
    set(settings, row, end_of(row, row.max));
    EXPECT_TRUE(validate(settings).has_value()) << row.name;
  }
}

TEST(Validate, one_beyond_either_end_is_refused_by_name) {
  int refused = 0;
  for (const ParameterRow& row : kParameters) {
    for (uint64_t value : {row.min - 1, row.max + 1}) {
      if (value >= row.min && value <= row.max) continue;  // the range has no end there
      if (row.type != SettingType::size && value > row.max + 1) continue;  // fits no member
      Settings settings;
      set(settings, row, end_of(row, value));
      if (get(settings, row) != end_of(row, value)) continue;  // wider than the member
      const Result<void> result = validate(settings);
      ASSERT_FALSE(result.has_value()) << row.name << " " << value;
      EXPECT_EQ(result.error().code(), ErrorCode::invalid_argument);
      EXPECT_NE(result.error().message().find("'" + std::string(row.name) + "'"),
                std::string::npos);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
}

TEST(Validate, the_message_has_range_unit_and_value) {
  Settings settings;
  settings.downtime_limit = 2000001;
  EXPECT_EQ(validate(settings).error().message(),
            "Parameter 'downtime-limit' must be 0..2000000 ms, not 2000001");
}

TEST(Validate, capabilities_that_do_not_go_together_are_refused) {
  Settings settings;
  settings.return_path = false;
  settings.switchover_ack = true;
  EXPECT_FALSE(validate(settings).has_value());
}

// Rules that no row of today has: rows of the test's own.
constexpr std::array<std::string_view, 1> kReturnPath = {"return-path"};

ParameterRow number(std::string_view name, uint64_t Settings::*member) {
  return {name, member, SettingType::uint64, "", 0,     100,   0,
          0,    false,  ActsOn::both,        "", false, false, "h"};
}

TEST(Validate, a_parameter_that_must_not_be_below_another_is_refused_with_both_values) {
  std::array<ParameterRow, 2> rows = {number("low", &Settings::announce_initial),
                                      number("high", &Settings::announce_max)};
  rows[1].not_below = "low";
  Settings settings;
  settings.announce_initial = 20;
  settings.announce_max = 20;
  EXPECT_TRUE(check_parameters(rows, settings).has_value());
  settings.announce_max = 19;
  const Result<void> result = check_parameters(rows, settings);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "Parameter 'high' (19) must not be below 'low' (20)");
}

TEST(Validate, a_parameter_that_excludes_a_capability_is_refused_unless_it_has_its_default) {
  std::array<ParameterRow, 1> rows = {number("alone", &Settings::announce_initial)};
  rows[0].excludes = kReturnPath;
  Settings settings;
  settings.announce_initial = 0;
  settings.return_path = true;
  EXPECT_TRUE(check_parameters(rows, settings).has_value());
  settings.announce_initial = 1;
  const Result<void> result = check_parameters(rows, settings);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "Parameter 'alone' excludes capability 'return-path'");
  settings.return_path = false;
  EXPECT_TRUE(check_parameters(rows, settings).has_value());
}

TEST(Validate, a_string_with_a_nul_byte_is_refused) {
  Settings settings;
  settings.thread_prefix = std::string("a\0b", 3);
  EXPECT_FALSE(validate(settings).has_value());
}

}  // namespace
}  // namespace tern::params
