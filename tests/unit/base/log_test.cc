// SPDX-License-Identifier: Apache-2.0
#include "tern/log.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

TEST(Log, levels_have_the_names_that_logs_show) {
  EXPECT_EQ(to_string(LogLevel::debug), "debug");
  EXPECT_EQ(to_string(LogLevel::info), "info");
  EXPECT_EQ(to_string(LogLevel::warning), "warning");
  EXPECT_EQ(to_string(LogLevel::error), "error");
}

TEST(Log, null_log_writes_nothing_anywhere) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  null_log().log(LogLevel::error, "nobody hears this");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace tern
