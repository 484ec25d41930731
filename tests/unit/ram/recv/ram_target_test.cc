// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_target.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>

#include "tests/doubles/guarded_pages.h"

namespace tern {
namespace {

using test::GuardedPages;
constexpr uint64_t kPage = kTargetPageBytes;

// Blocks "a" of 100 pages and "b" of 4; pages 3 and 70 of "a" may hold something.
class RamTargetTest : public ::testing::Test {
 protected:
  RamTargetTest()
      : ram_(104),
        blocks_{{.idstr = "a", .host = ram_.data(), .used_bytes = 100 * kPage},
                {.idstr = "b", .host = ram_.data() + 100 * kPage, .used_bytes = 4 * kPage}},
        memory_(*GuestMemory::create(blocks_)),
        target_(memory_, populated(), best_page_ops()) {}

  DirtyBitmap populated() const {
    DirtyBitmap map(blocks_);
    map.block(0).set(3);
    map.block(0).set(70);
    return map;
  }
  bool is_zero(size_t page) const {
    const auto bytes = ram_.page(page);
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
  }
  // Whether the kernel has a page there.
  bool is_resident(size_t page) const {
    unsigned char there = 0;
    EXPECT_EQ(mincore(ram_.page(page).data(), kPage, &there), 0);
    return (there & 1) != 0;
  }

  GuardedPages ram_;
  std::vector<RamBlock> blocks_;
  GuestMemory memory_;
  RamTarget target_;
};

TEST_F(RamTargetTest, a_block_is_found_once_the_source_listed_it) {
  EXPECT_EQ(target_.find_listed("b"), std::nullopt);
  target_.list(1);
  EXPECT_EQ(target_.find_listed("b"), 1u);
  EXPECT_EQ(target_.find_listed("a"), std::nullopt);
  EXPECT_EQ(target_.find_listed("c"), std::nullopt);
  EXPECT_EQ(target_.find_listed(""), std::nullopt);
  EXPECT_TRUE(target_.is_listed(1));
  EXPECT_FALSE(target_.is_listed(0));
}

TEST_F(RamTargetTest, a_page_that_may_hold_something_is_cleared_once) {
  ram_.fill(0xee);
  target_.zero_page(0, 3);
  EXPECT_TRUE(is_zero(3));
  EXPECT_FALSE(is_zero(2));
  EXPECT_FALSE(is_zero(4));
  EXPECT_FALSE(target_.is_marked(0, 3));
}

TEST_F(RamTargetTest, a_page_that_never_held_anything_stays_out_of_memory) {
  ram_.fresh();
  target_.zero_page(0, 3);
  target_.zero_page(0, 5);
  target_.zero_page(1, 3);
  target_.zero_run(0, {0, 100});
  EXPECT_FALSE(is_resident(5));
  EXPECT_FALSE(is_resident(103));
}

TEST_F(RamTargetTest, data_that_came_makes_a_page_one_to_clear) {
  ram_.fill(0xee);
  target_.mark(0, {60, 10});
  for (uint64_t page = 59; page < 72; ++page) {
    EXPECT_EQ(target_.is_marked(0, page), page >= 60 && page <= 70) << page;
  }
  target_.zero_page(0, 65);
  EXPECT_TRUE(is_zero(65));
  EXPECT_FALSE(is_zero(64));
}

TEST_F(RamTargetTest, a_run_clears_what_may_hold_something_and_nothing_beyond_it) {
  ram_.fill(0xee);
  target_.mark(0, {62, 4});
  target_.mark(0, {98, 2});
  target_.mark(1, {0, 4});
  target_.zero_run(0, {63, 36});
  for (uint64_t page = 0; page < 104; ++page) {
    const bool cleared = (page >= 63 && page < 66) || page == 70 || page == 98;
    EXPECT_EQ(is_zero(page), cleared) << page;
  }
  EXPECT_TRUE(target_.is_marked(0, 62));
  EXPECT_TRUE(target_.is_marked(0, 99));
  EXPECT_TRUE(target_.is_marked(1, 0));
}

TEST_F(RamTargetTest, preparing_changes_no_byte) {
  ram_.fill(0xee);
  ram_.fresh();
  target_.prepare(0, {10, 40});
  target_.prepare(0, {3, 40});  // may hold something: left alone
  target_.prepare(0, {90, 2});  // not worth a call
  EXPECT_FALSE(is_resident(90));
  for (uint64_t page = 0; page < 104; ++page) EXPECT_TRUE(is_zero(page)) << page;
}

}  // namespace
}  // namespace tern
