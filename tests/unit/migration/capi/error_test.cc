// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace tern::capi {
namespace {

TEST(CError, an_outcome_sets_code_and_handle_or_clears_the_handle) {
  tern_error* error = nullptr;
  EXPECT_EQ(answer(&error, Error(ErrorCode::channel, "gone", ECONNRESET)), TERN_ERROR_CHANNEL);
  EXPECT_EQ(tern_error_code(error), TERN_ERROR_CHANNEL);
  EXPECT_STREQ(tern_error_message(error), "gone");
  EXPECT_EQ(tern_error_errno(error), ECONNRESET);
  tern_error_free(error);
  EXPECT_EQ(answer(&error, {}), TERN_OK);
  EXPECT_EQ(error, nullptr);
}

TEST(CError, nobody_has_to_want_the_handle) {
  EXPECT_EQ(answer(nullptr, Error(ErrorCode::timed_out, "x")), TERN_ERROR_TIMED_OUT);
  EXPECT_EQ(answer(nullptr, {}), TERN_OK);
}

TEST(CError, every_code_has_the_name_that_cxx_gives_it) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(tern_code_name(code_of(code)), to_string(code));
  }
  EXPECT_STREQ(tern_code_name(TERN_OK), "ok");
  EXPECT_STREQ(tern_code_name(TERN_ERROR_INTERNAL + 1), "unknown");
  EXPECT_STREQ(tern_code_name(-1), "unknown");
}

TEST(CError, no_error_reads_as_success) {
  EXPECT_EQ(tern_error_code(nullptr), TERN_OK);
  EXPECT_STREQ(tern_error_message(nullptr), "");
  EXPECT_EQ(tern_error_errno(nullptr), 0);
  tern_error_free(nullptr);
}

TEST(CError, an_embedders_error_without_a_code_or_a_message_is_a_devices) {
  tern_error* error = tern_error_new(TERN_OK, nullptr, 0);
  EXPECT_EQ(tern_error_code(error), TERN_ERROR_DEVICE);
  EXPECT_STREQ(tern_error_message(error), "");
  tern_error_free(error);
}

TEST(CError, what_is_needed_is_named_when_it_is_missing) {
  const int there = 0;
  EXPECT_TRUE(need({{"a", &there}}).has_value());
  EXPECT_EQ(need({{"a", &there}, {"b", nullptr}}).error().message(), "b is NULL");
}

TEST(CError, the_verdict_of_a_callback_keeps_its_code_message_and_errno) {
  const auto failed = verdict("save", TERN_ERROR_RESOURCE_EXHAUSTED,
                              tern_error_new(TERN_ERROR_CHANNEL, "no room", ENOSPC));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(failed.error().message(), "save: no room");
  EXPECT_EQ(failed.error().sys_errno(), ENOSPC);
}

TEST(CError, a_callback_that_says_no_more_than_a_number_fails_with_it) {
  const auto failed = verdict("load", 4711, nullptr);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), ErrorCode::device);
  EXPECT_EQ(failed.error().message(), "load: failed with code 4711");
}

TEST(CError, an_error_that_comes_with_success_is_freed) {
  EXPECT_TRUE(verdict("save", TERN_OK, tern_error_new(TERN_ERROR_DEVICE, "x", 0)).has_value());
}

}  // namespace
}  // namespace tern::capi
