// SPDX-License-Identifier: Apache-2.0

#include "tern/dirty_bitmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace tern {
namespace {

// Sizes around words (64) and summary words (4096), with whole and partial ends.
constexpr uint64_t kSizes[] = {1,    2,    63,   64,   65,   127,   128,   129,
                               4095, 4096, 4097, 4160, 8191, 12288, 12289, 20000};

/// The same map, the slow and obvious way.
class Model {
 public:
  explicit Model(uint64_t pages) : bits_(pages) {}
  uint64_t change(PageRun run, bool to) {
    uint64_t changed = 0;
    for (uint64_t i = run.first; i < bits_.size() && i - run.first < run.count; ++i) {
      changed += bits_[i] != to;
      bits_[i] = to;
    }
    return changed;
  }
  PageRun next_run(uint64_t from, uint64_t max_pages) const {
    uint64_t first = from;
    while (first < bits_.size() && !bits_[first]) ++first;
    PageRun run{first, 0};
    while (first + run.count < bits_.size() && bits_[first + run.count] && run.count < max_pages) {
      ++run.count;
    }
    return run;
  }
  uint64_t count() const {
    return static_cast<uint64_t>(std::count(bits_.begin(), bits_.end(), true));
  }
  bool test(uint64_t page) const { return bits_[page]; }

 private:
  std::vector<bool> bits_;
};

void expect_same(const BlockBitmap& map, const Model& model) {
  ASSERT_EQ(map.count(), model.count());
  for (uint64_t i = 0; i < map.pages(); ++i) ASSERT_EQ(map.test(i), model.test(i)) << i;
}

void expect_same_run(const BlockBitmap& map, const Model& model, uint64_t from, uint64_t max) {
  const PageRun got = map.next_run(from, max);
  const PageRun want = model.next_run(from, max);
  ASSERT_EQ(got.count, want.count) << "from " << from << " max " << max;
  if (want.count == 0) return;
  ASSERT_EQ(got.first, want.first) << "from " << from << " max " << max;
}

TEST(BlockBitmap, random_operations_agree_with_a_naive_model) {
  std::mt19937_64 random(1);
  for (uint64_t pages : kSizes) {
    BlockBitmap map(pages);
    Model model(pages);
    for (int step = 0; step < 400; ++step) {
      // Lengths of all magnitudes; runs may begin or end behind the map.
      const PageRun run{random() % (pages + 70), random() >> (random() % 64)};
      const bool to = random() % 3 != 0;
      const uint64_t changed = to ? map.set_run(run) : map.clear_run(run);
      ASSERT_EQ(changed, model.change(run, to)) << pages << ": " << run.first << "+" << run.count;
      const uint64_t page = random() % (pages + 2);
      const bool one_to = random() % 2 != 0;
      ASSERT_EQ(one_to ? map.set(page) : map.clear(page), model.change({page, 1}, one_to) == 1);
      ASSERT_EQ(map.count(), model.count());
      expect_same_run(map, model, random() % (pages + 2), random() >> (random() % 64));
    }
    expect_same(map, model);
  }
}

TEST(BlockBitmap, next_run_walks_exactly_the_set_pages_at_every_density) {
  std::mt19937_64 random(2);
  for (uint64_t pages : kSizes) {
    for (uint64_t one_in : {1u, 2u, 30u, 5000u}) {
      BlockBitmap map(pages);
      Model model(pages);
      for (uint64_t i = 0; i < pages; ++i) {
        if (random() % one_in != 0) continue;
        map.set(i);
        model.change({i, 1}, true);
      }
      for (uint64_t max : {uint64_t{1}, uint64_t{64}, uint64_t{100}, ~uint64_t{0}}) {
        uint64_t seen = 0;
        for (PageRun run = map.next_run(0, max); run.count != 0;
             run = map.next_run(run.first + run.count, max)) {
          seen += run.count;
          expect_same_run(map, model, run.first, max);
        }
        ASSERT_EQ(seen, model.count());
      }
    }
  }
}

TEST(BlockBitmap, a_run_crosses_words_and_summary_words) {
  BlockBitmap map(3 * 4096 + 17);
  EXPECT_EQ(map.set_run({4000, 8000}), 8000u);
  const PageRun run = map.next_run(0, ~uint64_t{0});
  EXPECT_EQ(run.first, 4000u);
  EXPECT_EQ(run.count, 8000u);
  EXPECT_EQ(map.clear_run({5000, 1}), 1u);
  EXPECT_EQ(map.next_run(0, ~uint64_t{0}).count, 1000u);
  EXPECT_EQ(map.next_run(5000, ~uint64_t{0}).first, 5001u);
}

TEST(BlockBitmap, bits_behind_the_last_page_are_ignored) {
  BlockBitmap map(70);
  EXPECT_EQ(map.or_word(1, ~uint64_t{0}), 6u);
  EXPECT_EQ(map.or_word(2, ~uint64_t{0}), 0u);
  EXPECT_EQ(map.count(), 6u);
  EXPECT_EQ(map.words()[1], 0x3fu);
  EXPECT_EQ(map.set_run({60, ~uint64_t{0}}), 4u);
  EXPECT_FALSE(map.set(70));
  EXPECT_FALSE(map.test(70));
  EXPECT_EQ(map.set_run({~uint64_t{0}, 5}), 0u);
  EXPECT_EQ(map.next_run(70, 1).count, 0u);
}

TEST(BlockBitmap, or_word_counts_only_what_became_set) {
  BlockBitmap map(128);
  EXPECT_EQ(map.or_word(1, 0b1011), 3u);
  EXPECT_EQ(map.or_word(1, 0b1111), 1u);
  EXPECT_EQ(map.or_word(1, 0b1111), 0u);
  EXPECT_EQ(map.count(), 4u);
}

TEST(BlockBitmap, or_map_is_the_union_and_counts_what_became_set) {
  std::mt19937_64 random(3);
  for (uint64_t pages : kSizes) {
    BlockBitmap a(pages);
    BlockBitmap b(pages);
    Model both(pages);
    for (uint64_t i = 0; i < pages; ++i) {
      const uint64_t r = random();
      if (r % 5 == 0) a.set(i);
      if (r % 7 == 0) b.set(i);
      if (r % 5 == 0 || r % 7 == 0) both.change({i, 1}, true);
    }
    const uint64_t before = a.count();
    EXPECT_EQ(a.or_map(b), both.count() - before);
    expect_same(a, both);
  }
}

TEST(BlockBitmap, clear_map_takes_the_other_away_and_count_common_counts_both) {
  std::mt19937_64 random(5);
  for (uint64_t pages : kSizes) {
    BlockBitmap a(pages);
    BlockBitmap b(pages);
    Model rest(pages);
    uint64_t common = 0;
    for (uint64_t i = 0; i < pages; ++i) {
      const uint64_t r = random();
      const bool in_a = r % 3 == 0 || i % 64 == 63;
      const bool in_b = r % 7 == 0 || i % 64 == 63;
      if (in_a) a.set(i);
      if (in_b) b.set(i);
      if (in_a && in_b) ++common;
      if (in_a && !in_b) rest.change({i, 1}, true);
    }
    EXPECT_EQ(a.count_common(b), common);
    EXPECT_EQ(a.clear_map(b), common);
    expect_same(a, rest);
    EXPECT_EQ(a.count_common(b), 0u);
  }
}

TEST(BlockBitmap, a_map_without_pages_has_none) {
  BlockBitmap map(0);
  EXPECT_EQ(map.pages(), 0u);
  EXPECT_EQ(map.next_run(0, 10).count, 0u);
  EXPECT_EQ(map.set_run({0, 10}), 0u);
  EXPECT_FALSE(map.set(0));
  EXPECT_FALSE(map.clear(0));
}

TEST(BlockBitmap, next_run_with_no_room_is_empty) {
  BlockBitmap map(10);
  map.set(3);
  EXPECT_EQ(map.next_run(0, 0).count, 0u);
}

TEST(DirtyBitmap, has_one_map_per_block_with_its_pages) {
  RamBlock blocks[2];
  blocks[0].used_bytes = 10 * kTargetPageBytes;
  blocks[1].used_bytes = 100 * kTargetPageBytes;
  DirtyBitmap map(blocks);
  ASSERT_EQ(map.blocks(), 2u);
  EXPECT_EQ(map.block(0).pages(), 10u);
  EXPECT_EQ(map.block(1).pages(), 100u);
  map.block(0).set(1);
  map.block(1).set_run({0, 50});
  EXPECT_EQ(map.count(), 51u);
}

}  // namespace
}  // namespace tern
