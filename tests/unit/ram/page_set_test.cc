// SPDX-License-Identifier: Apache-2.0
#include "ram/page_set.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace tern {
namespace {

std::vector<RamBlock> two_blocks() {
  return {{.idstr = "a", .used_bytes = 200 * uint64_t{kTargetPageBytes}},
          {.idstr = "b", .used_bytes = 64 * uint64_t{kTargetPageBytes}}};
}

TEST(PageSet, begins_with_the_pages_of_the_map) {
  const auto blocks = two_blocks();
  DirtyBitmap map(blocks);
  map.block(0).set(199);
  map.block(1).set(0);
  const PageSet set(map);
  EXPECT_TRUE(set.contains(0, 199));
  EXPECT_FALSE(set.contains(0, 0));
  EXPECT_TRUE(set.contains(1, 0));
}

TEST(PageSet, runs_of_any_length_and_place_are_added) {
  const auto blocks = two_blocks();
  for (uint64_t first = 0; first < 200; first += 7) {
    for (const uint64_t count : {0, 1, 2, 63, 64, 65, 127, 128, 150}) {
      if (first + count > 200) continue;
      PageSet set{DirtyBitmap(blocks)};
      set.add(0, {first, count});
      for (uint64_t page = 0; page < 200; ++page) {
        ASSERT_EQ(set.contains(0, page), page >= first && page < first + count)
            << first << " " << count << " " << page;
      }
    }
  }
}

TEST(PageSet, a_page_is_taken_once) {
  PageSet set{DirtyBitmap(two_blocks())};
  set.add(1, {63, 1});
  EXPECT_FALSE(set.take(1, 62));
  EXPECT_TRUE(set.take(1, 63));
  EXPECT_FALSE(set.take(1, 63));
  EXPECT_FALSE(set.contains(1, 63));
}

TEST(PageSet, next_finds_every_page_in_the_range_and_none_behind_it) {
  PageSet set{DirtyBitmap(two_blocks())};
  const std::set<uint64_t> pages = {0, 1, 63, 64, 127, 130, 199};
  for (const uint64_t page : pages) set.add(0, {page, 1});
  for (uint64_t from = 0; from <= 200; ++from) {
    for (const uint64_t end : {uint64_t{64}, uint64_t{100}, uint64_t{199}, uint64_t{200}}) {
      if (from > end) continue;
      const auto found = pages.lower_bound(from);
      const uint64_t expected = found == pages.end() ? end : std::min(*found, end);
      ASSERT_EQ(set.next(0, from, end), expected) << from << " " << end;
    }
  }
}

TEST(PageSet, of_threads_that_take_the_same_pages_one_gets_each) {
  PageSet set{DirtyBitmap(two_blocks())};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t page = 0; page < 200; ++page) set.add(0, {page, 1});
    });
  }
  for (std::thread& t : threads) t.join();
  threads.clear();
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t page = 0; page < 200; ++page) taken += set.take(0, page) ? 1 : 0;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(taken, 200);
}

}  // namespace
}  // namespace tern
