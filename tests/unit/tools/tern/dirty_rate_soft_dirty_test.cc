// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_soft_dirty.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/dirty_rate_child.h"
#include "tools/tern/dirty_rate_memory.h"

namespace tern::tool {
namespace {

TEST(DirtyRateSoftDirty, bits_show_what_was_written_since_they_were_cleared) {
  const test::ChildMemory memory(8);
  const test::Child child([&](int step) {
    if (step == 0) {
      for (size_t page = 0; page < 6; ++page) memory.touch(page, 1);
    } else {
      memory.touch(2, 1);  // the same content: written all the same
      memory.touch(7, 1);
    }
  });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  ASSERT_TRUE(may_clear_soft_dirty(*process));
  if (!kernel_has_soft_dirty()) GTEST_SKIP() << "the kernel has no CONFIG_MEM_SOFT_DIRTY";
  const MappingChoice choice;
  ProcessMemory looked(*process, choice);
  ASSERT_TRUE(clear_soft_dirty(*process));
  ASSERT_TRUE(child.step());
  const Result<Census> census = looked.soft_dirty_census();
  ASSERT_TRUE(census);
  std::string written;
  for (size_t i = 0; i < 8; ++i) {
    written += census->populated.contains(reinterpret_cast<uintptr_t>(memory.page(i))) ? '1' : '0';
  }
  EXPECT_EQ(written, "00100001");
}

TEST(DirtyRateSoftDirty, huge_pages_are_found_in_the_kernels_summary) {
  EXPECT_EQ(
      huge_bytes("1000-2000 ---p 0 00:00 0 [rollup]\nRss:  100 kB\nAnonHugePages:     2048 kB\n"
                 "ShmemPmdMapped:     4096 kB\nFilePmdMapped:       0 kB\n"),
      6144u * 1024);
  EXPECT_EQ(huge_bytes(""), 0u);
  EXPECT_EQ(huge_bytes("\nAnonHugePages:"), 0u);
  EXPECT_EQ(huge_bytes("\nAnonHugePages: many kB\n"), 0u);
}

TEST(DirtyRateSoftDirty, clearing_the_bits_of_a_process_that_ended_says_so) {
  test::Child child([](int) {});
  Result<Process> process = Process::open(child.pid());
  child.end();
  const Result<Nanoseconds> cleared = clear_soft_dirty(*process);
  ASSERT_FALSE(cleared);
  EXPECT_EQ(cleared.error().sys_errno(), kProcessGone);
}

}  // namespace
}  // namespace tern::tool
