// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/memory.h"

#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

TEST(CMemory, a_block_is_taken_over_with_its_defaults) {
  CMachine m;
  m.ram.gpa = 0x1000;
  const auto blocks = read_blocks(&m.ram, 1);
  ASSERT_TRUE(blocks.has_value()) << blocks.error().message();
  EXPECT_EQ((*blocks)[0].idstr, "ram");
  EXPECT_EQ((*blocks)[0].used_bytes, m.memory.size());
  EXPECT_EQ((*blocks)[0].gpa, 0x1000u);
  EXPECT_EQ((*blocks)[0].page_bytes, kTargetPageBytes);
  EXPECT_EQ((*blocks)[0].fd, -1) << "0 in a struct that was zeroed is no descriptor";
  EXPECT_FALSE((*blocks)[0].shared);
}

TEST(CMemory, flags_say_what_is_behind_a_mapping) {
  CMachine m;
  m.ram.flags = TERN_RAM_SHARED | TERN_RAM_HAS_FD;
  m.ram.fd = 0;
  m.ram.fd_offset = 4096;
  const auto blocks = read_blocks(&m.ram, 1);
  ASSERT_TRUE(blocks.has_value());
  EXPECT_EQ((*blocks)[0].fd, 0);
  EXPECT_EQ((*blocks)[0].fd_offset, 4096u);
  EXPECT_TRUE((*blocks)[0].shared);
}

TEST(CMemory, blocks_survive_the_way_there_and_back) {
  CMachine m;
  m.ram.flags = TERN_RAM_SHARED | TERN_RAM_HAS_FD;
  m.ram.fd = 3;
  m.ram.max_bytes = m.ram.used_bytes * 2;
  m.ram.page_bytes = 4096;
  const auto blocks = read_blocks(&m.ram, 1);
  ASSERT_TRUE(blocks.has_value());
  const std::vector<tern_ram_block> back = blocks_for_c(*blocks);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_STREQ(back[0].idstr, "ram");
  EXPECT_EQ(back[0].host, m.ram.host);
  EXPECT_EQ(back[0].max_bytes, m.ram.max_bytes);
  EXPECT_EQ(back[0].fd, 3);
  EXPECT_EQ(back[0].flags, m.ram.flags);
}

TEST(CMemory, a_bad_block_is_named_with_the_reason) {
  CMachine m;
  m.ram.used_bytes = 5;
  EXPECT_NE(m.refusal().find("RAM block 'ram'"), std::string::npos);
  m.ram.idstr = nullptr;
  EXPECT_EQ(m.refusal(), "ram[0].idstr is NULL");
}

TEST(CMemory, flags_of_a_newer_tern_are_refused) {
  CMachine m;
  m.ram.flags = 1u << 31;
  EXPECT_EQ(read_blocks(&m.ram, 1).error().code(), ErrorCode::unsupported);
  m.ram.flags = TERN_RAM_HAS_FD;
  m.ram.fd = -1;
  EXPECT_EQ(read_blocks(&m.ram, 1).error().code(), ErrorCode::invalid_argument);
}

TEST(CMemory, a_bitmap_counts_what_is_set_and_ignores_what_does_not_exist) {
  CMachine m;
  tern_dirty_bitmap* bitmap = nullptr;
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &bitmap, nullptr), TERN_OK);
  EXPECT_EQ(tern_dirty_bitmap_blocks(bitmap), 1u);
  EXPECT_EQ(tern_dirty_bitmap_pages(bitmap, 0), 16u);
  EXPECT_EQ(tern_dirty_bitmap_pages(bitmap, 1), 0u);
  EXPECT_EQ(tern_dirty_bitmap_set_range(bitmap, 0, 2, 3), 3u);
  EXPECT_EQ(tern_dirty_bitmap_set_range(bitmap, 0, 15, 100), 1u) << "clipped";
  EXPECT_EQ(tern_dirty_bitmap_set_range(bitmap, 7, 0, 1), 0u) << "no such block";
  EXPECT_EQ(tern_dirty_bitmap_or_word(bitmap, 0, 0, 0x5), 1u) << "page 2 was set";
  EXPECT_EQ(tern_dirty_bitmap_count(bitmap), 5u);
  EXPECT_EQ(tern_dirty_bitmap_block_count(bitmap, 0), 5u);
  EXPECT_EQ(tern_dirty_bitmap_test(bitmap, 0, 15), 1);
  EXPECT_EQ(tern_dirty_bitmap_test(bitmap, 0, 16), 0);
  EXPECT_EQ(tern_dirty_bitmap_clear_range(bitmap, 0, 0, 3), 2u);
  uint64_t first = 99;
  EXPECT_EQ(tern_dirty_bitmap_next_run(bitmap, 0, 0, 10, &first), 2u);
  EXPECT_EQ(first, 3u);
  EXPECT_EQ(tern_dirty_bitmap_next_run(bitmap, 0, 16, 10, &first), 0u);
  size_t words = 0;
  const uint64_t* bits = tern_dirty_bitmap_words(bitmap, 0, &words);
  ASSERT_EQ(words, 1u);
  EXPECT_EQ(bits[0], 0x8018u);
  tern_dirty_bitmap_free(bitmap);
}

TEST(CMemory, bitmaps_are_united_if_they_are_of_one_machine) {
  CMachine m;
  CMachine smaller;
  smaller.ram.used_bytes = 4096;
  tern_dirty_bitmap* a = nullptr;
  tern_dirty_bitmap* b = nullptr;
  tern_dirty_bitmap* other = nullptr;
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &a, nullptr), TERN_OK);
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &b, nullptr), TERN_OK);
  ASSERT_EQ(tern_dirty_bitmap_create(&smaller.ram, 1, &other, nullptr), TERN_OK);
  tern_dirty_bitmap_set_range(a, 0, 0, 2);
  tern_dirty_bitmap_set_range(b, 0, 1, 4);
  uint64_t added = 0;
  EXPECT_EQ(tern_dirty_bitmap_or(a, b, &added, nullptr), TERN_OK);
  EXPECT_EQ(added, 3u);
  EXPECT_EQ(tern_dirty_bitmap_or(a, other, &added, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  for (tern_dirty_bitmap* bitmap : {a, b, other}) tern_dirty_bitmap_free(bitmap);
}

TEST(CMemory, a_bitmap_that_was_lent_is_not_freed) {
  DirtyBitmap map;
  tern_dirty_bitmap lent{.own = {}, .lent = &map};
  tern_dirty_bitmap_free(&lent);
  EXPECT_EQ(tern_dirty_bitmap_blocks(&lent), 0u);
}

TEST(CMemory, populated_pages_are_found_and_the_way_is_named) {
  CMachine m;
  m.memory[5 * 4096] = 'x';
  tern_dirty_bitmap* bitmap = nullptr;
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &bitmap, nullptr), TERN_OK);
  const char* method = nullptr;
  tern_error* error = nullptr;
  ASSERT_EQ(tern_find_populated(&m.ram, 1, bitmap, &method, &error), TERN_OK)
      << take_message(error);
  EXPECT_EQ(tern_dirty_bitmap_test(bitmap, 0, 5), 1);
  EXPECT_GT(std::string(method).size(), 0u);
  EXPECT_EQ(tern_find_populated(nullptr, 0, bitmap, nullptr, nullptr), TERN_ERROR_INVALID_ARGUMENT)
      << "a map of another shape";
  tern_dirty_bitmap_free(bitmap);
}

}  // namespace
}  // namespace tern::capi
