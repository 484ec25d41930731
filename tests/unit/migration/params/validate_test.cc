// SPDX-License-Identifier: Apache-2.0
#include "migration/params/validate.h"

#include <gtest/gtest.h>

#include "migration/params/parameters.h"

namespace tern::params {
namespace {

TEST(Validate, both_defaults_are_valid) {
  EXPECT_TRUE(validate(Settings{}).has_value());
  EXPECT_TRUE(validate(qmp_defaults()).has_value());
}

TEST(Validate, the_ends_of_every_range_are_valid) {
  for (const ParameterRow& row : kParameters) {
    Settings settings;
    set(settings, row, row.min);
    EXPECT_TRUE(validate(settings).has_value()) << row.name;
    set(settings, row, row.max);
    EXPECT_TRUE(validate(settings).has_value()) << row.name;
  }
}

TEST(Validate, one_beyond_either_end_is_refused_by_name) {
  int refused = 0;
  for (const ParameterRow& row : kParameters) {
    for (uint64_t value : {row.min - 1, row.max + 1}) {
      if (value >= row.min && value <= row.max) continue;  // the range has no end there
      if (row.type == ValueType::enumeration && value > row.max + 1) continue;  // fits no member
      Settings settings;
      set(settings, row, value);
      if (get(settings, row) != value) continue;  // wider than the member
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

}  // namespace
}  // namespace tern::params
