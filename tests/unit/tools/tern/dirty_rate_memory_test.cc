// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_memory.h"

#include <gtest/gtest.h>

#include <array>

#include "ram/measure/page_hash.h"
#include "tests/unit/tools/tern/dirty_rate_child.h"

namespace tern::tool {
namespace {

using test::Child;
using test::ChildMemory;

uint64_t address_of(const ChildMemory& memory, size_t page) {
  return reinterpret_cast<uintptr_t>(memory.page(page));
}

// Whether pages of `memory` are in the set, as a string of 0 and 1.
std::string shown(const PageRuns& pages, const ChildMemory& memory) {
  std::string text;
  for (size_t i = 0; i < memory.pages(); ++i) {
    text += pages.contains(address_of(memory, i)) ? '1' : '0';
  }
  return text;
}

struct Watched {
  explicit Watched(pid_t pid) : process(Process::open(pid)) {}
  ProcessMemory memory() { return ProcessMemory(*process, choice); }
  Result<Process> process;
  MappingChoice choice;
};

TEST(DirtyRateMemory, pages_that_were_never_written_are_not_there) {
  const ChildMemory memory(8);
  const Child child([&](int) {
    memory.touch(1, 1);
    memory.touch(5, 1);
    // Reading gives no page of its own.
    (void)*static_cast<volatile std::byte*>(memory.page(3));
  });
  ASSERT_TRUE(child.step());
  Watched watched(child.pid());
  ASSERT_TRUE(watched.process);
  ProcessMemory looked = watched.memory();
  const Result<Census> census = looked.census();
  ASSERT_TRUE(census) << census.error().message();
  EXPECT_EQ(shown(census->populated, memory), "01000100");
  EXPECT_EQ(shown(census->countable, memory), "01000100");
  const Area* area = looked.area_at(address_of(memory, 2));
  ASSERT_NE(area, nullptr);
  EXPECT_EQ(area->kind, Area::Kind::own);
  EXPECT_EQ(looked.area_at(0), nullptr);
}

TEST(DirtyRateMemory, looking_brings_no_page_into_being) {
  const ChildMemory memory(8);
  const Child child([&](int step) {
    if (step == 0) memory.touch(1, 1);
    if (step == 0) memory.touch(2, 2);
    if (step == 1) ::madvise(memory.page(1), test::kChildPage, MADV_DONTNEED);
  });
  ASSERT_TRUE(child.step());
  Watched watched(child.pid());
  ProcessMemory looked = watched.memory();
  const Census before = looked.census().value();
  ASSERT_EQ(shown(before.populated, memory), "01100000");
  ProcessLooker looker(looked, before.populated);
  const uint64_t first = before.populated.number(address_of(memory, 1));
  const std::array<uint64_t, 2> pages{first, first + 1};
  std::array<PageLook, 2> looks{};
  ASSERT_TRUE(looker.look(0, pages, looks));
  EXPECT_TRUE(looks[0].seen);
  ASSERT_TRUE(looks[1].seen);
  std::array<std::byte, test::kChildPage> expected{std::byte{2}};
  EXPECT_EQ(looks[1].hash, hash_page(expected.data()));
  EXPECT_EQ(looked.cost().pages_hashed, 2u);
  ASSERT_TRUE(child.step());  // gives page 1 back
  looks = {};
  ASSERT_TRUE(looker.look(0, pages, looks));
  EXPECT_FALSE(looks[0].seen);
  EXPECT_TRUE(looks[1].seen);
  EXPECT_EQ(shown(looked.census()->populated, memory), "00100000");
}

TEST(DirtyRateMemory, shared_memory_counts_whoever_wrote_it) {
  const ChildMemory memory(8, MAP_SHARED);
  const Child child([](int) {});
  Watched watched(child.pid());
  ProcessMemory looked = watched.memory();
  const Census before = looked.census().value();
  const Area* area = looked.area_at(address_of(memory, 0));
  ASSERT_NE(area, nullptr);
  if (area->kind != Area::Kind::file) {
    GTEST_SKIP() << "needs root or CAP_CHECKPOINT_RESTORE, to open files in /proc/PID/map_files";
  }
  EXPECT_EQ(shown(before.populated, memory), "00000000");
  memory.touch(6, 1);  // here, not in the child
  const Census after = looked.census().value();
  EXPECT_EQ(shown(after.countable, memory), "00000010");
  ProcessLooker looker(looked, after.populated);
  const uint64_t page = after.populated.number(address_of(memory, 6));
  PageLook look;
  ASSERT_TRUE(looker.look(0, std::span(&page, 1), std::span(&look, 1)));
  std::array<std::byte, test::kChildPage> expected{std::byte{1}};
  EXPECT_TRUE(look.seen);
  EXPECT_EQ(look.hash, hash_page(expected.data()));
}

TEST(DirtyRateMemory, mappings_that_come_and_go_are_noticed) {
  const ChildMemory memory(64);
  const Child child([&](int) { ::munmap(memory.page(32), 32 * test::kChildPage); });
  Watched watched(child.pid());
  ProcessMemory looked = watched.memory();
  ASSERT_TRUE(looked.census());
  EXPECT_EQ(looked.remapped_bytes(), 0u);
  ASSERT_TRUE(child.step());
  ASSERT_TRUE(looked.census());
  EXPECT_EQ(looked.remapped_bytes(), 32 * test::kChildPage);
  EXPECT_EQ(looked.area_at(address_of(memory, 40)), nullptr);
}

TEST(DirtyRateMemory, a_choice_that_leaves_nothing_is_an_error_of_its_own) {
  const Child child([](int) {});
  Watched watched(child.pid());
  watched.choice.globs = {"no such thing"};
  ProcessMemory looked = watched.memory();
  const Result<Census> census = looked.census();
  ASSERT_FALSE(census);
  EXPECT_EQ(census.error().sys_errno(), kNothingThere);
  EXPECT_NE(census.error().message().find("--match"), std::string::npos);
}

TEST(DirtyRateMemory, a_process_that_ends_is_told_from_an_empty_one) {
  Child child([](int) {});
  Watched watched(child.pid());
  ProcessMemory looked = watched.memory();
  ASSERT_TRUE(looked.census());
  child.end();
  const Result<Census> census = looked.census();
  ASSERT_FALSE(census);
  EXPECT_EQ(census.error().sys_errno(), kProcessGone);
}

}  // namespace
}  // namespace tern::tool
