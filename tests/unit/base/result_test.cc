// SPDX-License-Identifier: Apache-2.0
#include "tern/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>

namespace tern {
namespace {

Result<int> half_of(int n) {
  if (n % 2 != 0) return Error(ErrorCode::invalid_argument, std::to_string(n) + " is odd");
  return n / 2;
}
Result<int> quarter_of(int n) {
  const int half = TERN_TRY(half_of(n).context("first half"));
  return TERN_TRY(half_of(half).context("second half"));
}
Result<void> must_be_even(int n) {
  TERN_TRY(half_of(n));
  return {};
}
Result<std::unique_ptr<int>> boxed(int n) { return std::make_unique<int>(TERN_TRY(half_of(n))); }

TEST(Result, try_gives_the_value) {
  auto r = quarter_of(12);
  ASSERT_TRUE(r);
  EXPECT_EQ(*r, 3);
}

TEST(Result, try_returns_the_first_error_with_where_it_happened) {
  auto r = quarter_of(6);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(r.error().message(), "second half: 3 is odd");
}

TEST(Result, contexts_stand_outermost_first) {
  auto r = half_of(1).context("inner").context("outer");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message(), "outer: inner: 1 is odd");
}

TEST(Result, context_leaves_a_value_alone) {
  auto r = half_of(4).context("not needed");
  ASSERT_TRUE(r);
  EXPECT_EQ(*r, 2);
}

TEST(Result, try_of_a_value_works_in_a_function_without_one) {
  EXPECT_TRUE(must_be_even(2));
  EXPECT_FALSE(must_be_even(3));
}

TEST(Result, carries_what_can_only_be_moved) {
  auto r = boxed(8);
  ASSERT_TRUE(r);
  const std::unique_ptr<int> box = std::move(*r);
  EXPECT_EQ(*box, 4);
}

TEST(Result, value_or_gives_the_other_value_on_error) {
  EXPECT_EQ(half_of(8).value_or(-1), 4);
  EXPECT_EQ(half_of(7).value_or(-1), -1);
}

TEST(Result, void_result_takes_context) {
  auto r = must_be_even(5).context("checking");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message(), "checking: 5 is odd");
}

TEST(Result, ignoring_takes_a_reason) { half_of(1).ignore("the test of ignore"); }

TEST(ResultDeath, value_of_an_error_ends_the_process) {
  EXPECT_DEATH(static_cast<void>(half_of(1).value()), "");
}

TEST(ResultDeath, error_of_a_value_ends_the_process) {
  EXPECT_DEATH(static_cast<void>(half_of(2).error()), "");
}

#ifdef TERN_RESULT_CHECKED
TEST(ResultDeath, a_result_that_dies_unread_ends_a_checked_process) {
  EXPECT_DEATH({ auto dropped = half_of(1); }, "");
}
TEST(Result, a_moved_from_result_does_not_have_to_be_read) {
  auto first = half_of(2);
  auto second = std::move(first);
  EXPECT_TRUE(second);
}
#endif

TEST(Error, keeps_errno_and_says_it_in_words) {
  const Error e = errno_error(ErrorCode::channel, "connect", ECONNREFUSED);
  EXPECT_EQ(e.code(), ErrorCode::channel);
  EXPECT_EQ(e.sys_errno(), ECONNREFUSED);
  EXPECT_EQ(e.message(), "connect: Connection refused");
}

TEST(Error, without_a_system_call_has_no_errno) {
  EXPECT_EQ(Error(ErrorCode::internal, "x").sys_errno(), 0);
}

TEST(Error, codes_have_names_of_their_own) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    names.insert(to_string(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorCode::internal) + 1);
  EXPECT_TRUE(names.contains("peer_protocol"));
  EXPECT_TRUE(names.contains("outcome_unknown"));
}

}  // namespace
}  // namespace tern
