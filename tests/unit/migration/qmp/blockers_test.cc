// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/blockers.h"

#include <gtest/gtest.h>

namespace tern::qmp {
namespace {

const std::function<bool()> kIdle = [] { return false; };
using Strings = std::vector<std::string>;

TEST(Blockers, reasons_are_listed_newest_first_until_they_are_removed) {
  Blockers blockers;
  const BlockerId disk = *blockers.add("disk", kIdle);
  const BlockerId gpu = *blockers.add("gpu", kIdle);
  EXPECT_EQ(blockers.reasons(), (Strings{"gpu", "disk"}));
  blockers.remove(gpu);
  EXPECT_EQ(blockers.reasons(), Strings{"disk"});
  blockers.remove(gpu);
  blockers.remove(disk);
  EXPECT_EQ(blockers.reasons(), Strings{});
}

TEST(Blockers, nothing_starts_while_something_blocks_and_the_newest_reason_is_the_error) {
  Blockers blockers;
  ASSERT_TRUE(blockers.add("disk", kIdle).has_value());
  const BlockerId gpu = *blockers.add("gpu", kIdle);
  int started = 0;
  const auto start = [&]() -> Result<void> {
    ++started;
    return {};
  };
  EXPECT_EQ(blockers.unless_blocked(start).error().message(), "gpu");
  blockers.remove(gpu);
  EXPECT_EQ(blockers.unless_blocked(start).error().message(), "disk");
  EXPECT_EQ(started, 0);
}

TEST(Blockers, without_any_the_start_decides) {
  Blockers blockers;
  EXPECT_TRUE(blockers.unless_blocked([]() -> Result<void> { return {}; }).has_value());
  EXPECT_FALSE(
      blockers.unless_blocked([]() -> Result<void> { return Error(ErrorCode::channel, "refused"); })
          .has_value());
}

TEST(Blockers, a_migration_that_runs_cannot_be_blocked_any_more) {
  Blockers blockers;
  const auto late = blockers.add("disk", [] { return true; });
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code(), ErrorCode::failed_precondition);
  EXPECT_NE(late.error().message().find("disk"), std::string::npos);
  EXPECT_EQ(blockers.reasons(), Strings{});
}

TEST(Blockers, a_reason_has_words_and_an_end) {
  Blockers blockers;
  EXPECT_FALSE(blockers.add("", kIdle).has_value());
  EXPECT_FALSE(blockers.add(std::string(1001, 'x'), kIdle).has_value());
  for (size_t i = 0; i < Blockers::kMax; ++i) ASSERT_TRUE(blockers.add("x", kIdle).has_value());
  EXPECT_FALSE(blockers.add("one more", kIdle).has_value());
}

}  // namespace
}  // namespace tern::qmp
