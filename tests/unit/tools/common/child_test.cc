// SPDX-License-Identifier: Apache-2.0
#include "tools/common/child.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tern::tool {
namespace {

TEST(ChildProcess, what_it_prints_on_both_streams_is_kept) {
  auto dir = TemporaryDirectory::create();
  ASSERT_TRUE(dir);
  auto child =
      ChildProcess::start({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, dir->file("log"));
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(), 3);
  EXPECT_EQ(child->output(), "out\nerr\n");
  EXPECT_FALSE(child->running());
}

TEST(ChildProcess, a_killed_one_reports_its_signal) {
  auto dir = TemporaryDirectory::create();
  ASSERT_TRUE(dir);
  auto child = ChildProcess::start({"/bin/sh", "-c", "exec sleep 1000"}, dir->file("log"));
  ASSERT_TRUE(child);
  EXPECT_TRUE(child->running());
  child->kill();
  EXPECT_EQ(child->wait(), 128 + 9);
}

TEST(ChildProcess, a_program_that_does_not_exist_is_named) {
  auto dir = TemporaryDirectory::create();
  ASSERT_TRUE(dir);
  const auto child = ChildProcess::start({"/nonexistent/program"}, dir->file("log"));
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().message().find("/nonexistent/program"), std::string::npos);
}

TEST(TemporaryDirectory, is_removed_with_all_in_it) {
  std::string path;
  {
    auto dir = TemporaryDirectory::create();
    ASSERT_TRUE(dir);
    path = dir->file("x");
    std::ofstream(path) << "text";
    EXPECT_EQ(read_text(path), "text");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(read_text(path), "");
}

TEST(SiblingProgram, stands_beside_the_running_one) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  EXPECT_EQ(sibling_program("x"), (self.parent_path() / "x").string());
}

}  // namespace
}  // namespace tern::tool
