// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/marked_pages.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace tern {
namespace {

std::array<RamBlock, 2> two_blocks() {
  static std::array<std::byte, 8192> place;
  std::array<RamBlock, 2> blocks;
  const auto at = reinterpret_cast<uintptr_t>(place.data());
  auto* aligned = place.data() + (4096 - at % 4096) % 4096;
  blocks[0] = {.idstr = "a", .host = aligned, .used_bytes = 5000 * uint64_t{4096}};
  blocks[1] = {.idstr = "b", .host = aligned, .used_bytes = 70 * uint64_t{4096}};
  return blocks;
}

TEST(MarkedPages, a_mark_covers_every_page_it_touches_and_is_taken_once) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.start(blocks);
  marked.mark(0, 4095, 2);                  // pages 0 and 1
  marked.mark(0, 62 * 4096 + 1, 4 * 4096);  // pages 62..66, across a word
  marked.mark(1, 69 * 4096, 4096);
  DirtyBitmap map(blocks);
  EXPECT_EQ(marked.harvest(map), 8u);
  EXPECT_EQ(map.block(0).next_run(0, 99).count, 2u);
  EXPECT_EQ(map.block(0).next_run(2, 99).first, 62u);
  EXPECT_EQ(map.block(0).next_run(2, 99).count, 5u);
  EXPECT_TRUE(map.block(1).test(69));
  DirtyBitmap again(blocks);
  EXPECT_EQ(marked.harvest(again), 0u);
}

TEST(MarkedPages, what_lies_outside_is_ignored) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.start(blocks);
  marked.mark(2, 0, 4096);
  marked.mark(1, 70 * 4096, 1);
  marked.mark(1, 0, 0);
  marked.mark(1, ~uint64_t{0}, ~uint64_t{0});
  DirtyBitmap map(blocks);
  EXPECT_EQ(marked.harvest(map), 0u);
  marked.mark(1, 68 * 4096, ~uint64_t{0});  // clipped at the end
  EXPECT_EQ(marked.harvest(map), 2u);
}

TEST(MarkedPages, a_mark_over_a_whole_block_sets_every_page) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.start(blocks);
  marked.mark(0, 0, blocks[0].used_bytes);
  DirtyBitmap map(blocks);
  EXPECT_EQ(marked.harvest(map), 5000u);
}

TEST(MarkedPages, marks_have_no_effect_while_stopped) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.mark(0, 0, 4096);
  marked.start(blocks);
  marked.mark(0, 4096, 4096);
  marked.stop();
  marked.mark(0, 0, 4096);
  marked.start(blocks);
  DirtyBitmap map(blocks);
  EXPECT_EQ(marked.harvest(map), 0u);
}

TEST(MarkedPages, a_chunk_gives_its_words) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.start(blocks);
  ASSERT_EQ(marked.chunks(0), 2u);
  marked.mark(0, (4096 + 64) * uint64_t{4096}, 4096);
  EXPECT_FALSE(marked.chunk_may_have_marks(0, 0));
  EXPECT_TRUE(marked.chunk_may_have_marks(0, 1));
  MarkedPages::Chunk taken;
  EXPECT_TRUE(marked.take_chunk(0, 1, taken));
  EXPECT_EQ(taken[1], 1u);
  EXPECT_EQ(taken[0], 0u);
  EXPECT_FALSE(marked.take_chunk(0, 1, taken));
}

TEST(MarkedPages, marks_of_several_threads_during_harvests_are_all_seen) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  marked.start(blocks);
  constexpr uint64_t kPages = 5000;
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t page = t; page < kPages; page += 4) marked.mark(0, page * 4096, 1);
    });
  }
  DirtyBitmap map(blocks);
  for (int i = 0; i < 200; ++i) marked.harvest(map);
  threads.clear();
  marked.harvest(map);
  EXPECT_EQ(map.block(0).count(), kPages);
}

TEST(MarkedPages, may_be_marked_by_any_thread_while_it_starts_and_stops) {
  const auto blocks = two_blocks();
  MarkedPages marked;
  std::atomic<uint64_t> marks{0};
  const std::jthread marker([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      marked.mark(0, 0, 5000 * uint64_t{4096});
      marks.fetch_add(1);
    }
  });
  while (marks.load() == 0) std::this_thread::yield();
  for (int i = 0; i < 300; ++i) {
    marked.start(blocks);
    DirtyBitmap map(blocks);
    marked.harvest(map);
    marked.stop();
  }
  EXPECT_GT(marks.load(), 0u);
}

}  // namespace
}  // namespace tern
