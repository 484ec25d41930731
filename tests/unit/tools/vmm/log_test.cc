// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/log.h"

#include <gtest/gtest.h>

namespace tern::vmm {
namespace {

TEST(log, a_line_has_time_level_and_sentence_and_lower_levels_are_dropped) {
  StderrLog log(LogLevel::info);
  testing::internal::CaptureStderr();
  log.log(LogLevel::debug, "hidden");
  log.log(LogLevel::info, "seen");
  log.log(LogLevel::error, "too");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("hidden"), std::string::npos);
  EXPECT_NE(text.find(" info seen\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" error too\n"), std::string::npos) << text;
  EXPECT_EQ(text[2], ':');
}

}  // namespace
}  // namespace tern::vmm
