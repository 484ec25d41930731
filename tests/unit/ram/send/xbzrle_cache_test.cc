// SPDX-License-Identifier: Apache-2.0
#include "ram/send/xbzrle_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

namespace tern {
namespace {

constexpr uint64_t kPage = kTargetPageBytes;

XbzrleCache cache_of(uint64_t pages) {
  auto made = XbzrleCache::create(pages * kPage);
  EXPECT_TRUE(made.has_value());
  return std::move(*made);
}
bool put(XbzrleCache& cache, uint64_t page, uint32_t round) {
  std::byte* const copy = cache.insert(page, round);
  if (copy != nullptr) std::memset(copy, static_cast<int>(page), kPage);
  return copy != nullptr;
}
bool holds(XbzrleCache& cache, uint64_t page, uint32_t round) {
  const std::byte* const copy = cache.find(page, round);
  if (copy == nullptr) return false;
  EXPECT_EQ(copy[0], static_cast<std::byte>(page));
  EXPECT_EQ(copy[kPage - 1], static_cast<std::byte>(page));
  return true;
}

TEST(XbzrleCache, what_was_put_in_is_found_and_nothing_else) {
  XbzrleCache cache = cache_of(64);
  EXPECT_EQ(cache.bytes(), 64 * kPage);
  for (uint64_t page = 0; page < 64; ++page) {
    EXPECT_FALSE(holds(cache, page, 1));
    EXPECT_TRUE(put(cache, page, 1));
  }
  for (uint64_t page = 0; page < 64; ++page) EXPECT_TRUE(holds(cache, page, 1)) << page;
  EXPECT_FALSE(holds(cache, 64, 1));
}

TEST(XbzrleCache, eight_pages_that_collide_have_room_the_ninth_waits_until_one_is_old) {
  XbzrleCache cache = cache_of(64);
  for (uint64_t i = 0; i < 8; ++i) EXPECT_TRUE(put(cache, 8 * i, 1));
  EXPECT_FALSE(put(cache, 64, 1));
  EXPECT_FALSE(put(cache, 64, 2)) << "used in the round before";
  for (uint64_t i = 1; i < 8; ++i) EXPECT_TRUE(holds(cache, 8 * i, 2));
  EXPECT_TRUE(put(cache, 64, 3));
  EXPECT_FALSE(holds(cache, 0, 3)) << "the only one that nobody used";
  EXPECT_TRUE(holds(cache, 8, 3));
}

TEST(XbzrleCache, the_smallest_holds_one_page) {
  XbzrleCache cache = cache_of(1);
  EXPECT_TRUE(put(cache, 5, 1));
  EXPECT_FALSE(put(cache, 6, 2));
  EXPECT_TRUE(put(cache, 6, 3));
  EXPECT_FALSE(holds(cache, 5, 3));
}

TEST(XbzrleCache, one_of_no_size_takes_nothing) {
  XbzrleCache cache;
  EXPECT_FALSE(put(cache, 0, 1));
  EXPECT_FALSE(holds(cache, 0, 1));
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(XbzrleCache, a_larger_one_takes_everything_over) {
  XbzrleCache small = cache_of(16);
  for (uint64_t page = 100; page < 116; ++page) EXPECT_TRUE(put(small, page, 1));
  XbzrleCache large = cache_of(256);
  large.take_over(small);
  for (uint64_t page = 100; page < 116; ++page) EXPECT_TRUE(holds(large, page, 2)) << page;
}

TEST(XbzrleCache, a_smaller_one_takes_over_what_was_used_last) {
  XbzrleCache large = cache_of(32);
  for (uint64_t page = 0; page < 32; ++page) EXPECT_TRUE(put(large, page, 1));
  for (uint64_t page = 12; page < 20; ++page) EXPECT_TRUE(holds(large, page, 4));
  XbzrleCache small = cache_of(8);
  small.take_over(large);
  for (uint64_t page = 0; page < 32; ++page) {
    EXPECT_EQ(holds(small, page, 4), page >= 12 && page < 20) << page;
  }
}

TEST(XbzrleCache, memory_that_is_not_there_is_an_answer) {
  for (const uint64_t bytes : {uint64_t{1} << 63, uint64_t{1} << 46, uint64_t{0}}) {
    const auto made = XbzrleCache::create(bytes);
    ASSERT_FALSE(made.has_value()) << bytes;
    EXPECT_EQ(made.error().code(), ErrorCode::resource_exhausted);
    EXPECT_NE(made.error().message().find(std::to_string(bytes)), std::string::npos);
  }
}

}  // namespace
}  // namespace tern
