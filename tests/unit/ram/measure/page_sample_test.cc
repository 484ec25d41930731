// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/page_sample.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tern {
namespace {

class TestClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return now_; }
  Nanoseconds wall() const noexcept override { return now_; }
  void advance(Nanoseconds by) { now_ += by; }

 private:
  Nanoseconds now_{1};
};

constexpr Nanoseconds kSecond = std::chrono::seconds(1);

// Pages whose hash is what a test put there.
class Memory final : public PageLooker {
 public:
  explicit Memory(const std::vector<uint64_t>& blocks) {
    for (uint64_t pages : blocks) hashes_.emplace_back(pages, 7);
  }
  std::vector<uint64_t>& block(size_t index) { return hashes_[index]; }
  void lose(size_t block, uint64_t page) { lost_.insert({block, page}); }
  void bring_back(size_t block, uint64_t page) { lost_.erase({block, page}); }

  Result<void> look(size_t block, std::span<const uint64_t> pages,
                    std::span<PageLook> looks) noexcept override {
    EXPECT_LE(pages.size(), PageSample::kPartPages);
    EXPECT_EQ(pages.size(), looks.size());
    if (block == refused) return Error(ErrorCode::device, "block refused");
    for (size_t i = 0; i < pages.size(); ++i) {
      EXPECT_TRUE(i == 0 || pages[i - 1] < pages[i]);
      looks[i] = {hashes_[block].at(pages[i]), !lost_.contains({block, pages[i]})};
    }
    looked += pages.size();
    return {};
  }
  size_t refused = SIZE_MAX;
  uint64_t looked = 0;

 private:
  std::vector<std::vector<uint64_t>> hashes_;
  std::set<std::pair<size_t, uint64_t>> lost_;
};

PageSample choose(const std::vector<uint64_t>& blocks, uint64_t count, uint64_t seed = 1) {
  Result<PageSample> sample = PageSample::choose(blocks, count, seed);
  EXPECT_TRUE(sample);
  return std::move(sample).value();
}

TEST(PageSample, pages_are_spread_over_all_blocks_and_none_is_chosen_twice) {
  const std::vector<uint64_t> blocks{1000, 0, 1, 9000, 0};
  const PageSample sample = choose(blocks, 500);
  ASSERT_EQ(sample.size(), 500u);
  EXPECT_EQ(sample.population(), 10001u);
  std::set<std::pair<size_t, uint64_t>> seen;
  uint64_t in_first = 0;
  uint64_t pages = 0;
  for (uint64_t i = 0; i < sample.size(); ++i) {
    const PageSample::Sample one = sample.sample(i);
    ASSERT_LT(one.page, blocks[one.block]);
    EXPECT_TRUE(seen.insert({one.block, one.page}).second);
    in_first += one.block == 0 ? 1 : 0;
    pages += one.stands_for;
  }
  EXPECT_NEAR(static_cast<double>(in_first), 50, 1);
  EXPECT_EQ(pages, 10001u);
}

TEST(PageSample, the_last_page_is_chosen_too_and_all_pages_have_the_same_chance) {
  std::vector<int> chosen(10);
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const PageSample sample = choose({10}, 3, seed);
    for (uint64_t i = 0; i < 3; ++i) chosen[sample.sample(i).page] += 1;
  }
  // Cells of 3, 3 and 4 pages: each page is drawn in a third or a fourth of the runs.
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(chosen[i], 2000 / 3, 120) << i;
  for (int i = 6; i < 10; ++i) EXPECT_NEAR(chosen[i], 2000 / 4, 120) << i;
}

TEST(PageSample, the_seed_decides) {
  const PageSample one = choose({1 << 20}, 100, 5);
  const PageSample same = choose({1 << 20}, 100, 5);
  const PageSample other = choose({1 << 20}, 100, 6);
  int differ = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(one.sample(i).page, same.sample(i).page);
    differ += one.sample(i).page != other.sample(i).page ? 1 : 0;
  }
  EXPECT_GT(differ, 90);
}

TEST(PageSample, more_samples_than_pages_are_all_pages) {
  Memory memory({3, 700});
  PageSample sample = choose({3, 700}, 100000);
  EXPECT_EQ(sample.size(), 703u);
  TestClock clock;
  ASSERT_TRUE(sample.remember(memory, clock));
  EXPECT_EQ(memory.looked, 703u);
  memory.block(0)[2] = 8;
  for (int i = 0; i < 100; ++i) memory.block(1)[i * 7] = 8;
  clock.advance(2 * kSecond);
  const Result<DirtyEstimate> got = sample.compare(memory, clock);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->dirty_pages.value, 101);
  EXPECT_DOUBLE_EQ(got->pages_per_s.value, 50.5);
  EXPECT_DOUBLE_EQ(got->pages_per_s.low, 50.5);
}

TEST(PageSample, what_changed_once_stays_changed) {
  Memory memory({10});
  PageSample sample = choose({10}, 10);
  TestClock clock;
  ASSERT_TRUE(sample.remember(memory, clock));
  memory.block(0)[4] = 8;
  clock.advance(kSecond);
  EXPECT_EQ(sample.compare(memory, clock).value().changed, 1u);
  memory.block(0)[4] = 7;
  memory.block(0)[5] = 9;
  memory.lose(0, 4);
  clock.advance(kSecond);
  const Result<DirtyEstimate> got = sample.compare(memory, clock);
  EXPECT_EQ(got->changed, 2u);
  EXPECT_EQ(got->lost_pages, 0);
  EXPECT_EQ(got->interval, 2 * kSecond);
  EXPECT_EQ(sample.sample(4).state, PageSample::State::changed);
  EXPECT_EQ(sample.sample(6).state, PageSample::State::same);
}

TEST(PageSample, pages_that_cannot_be_looked_at_are_lost_and_not_dirty) {
  Memory memory({10});
  memory.lose(0, 0);
  PageSample sample = choose({10}, 10);
  TestClock clock;
  ASSERT_TRUE(sample.remember(memory, clock));
  memory.lose(0, 1);
  for (uint64_t& page : memory.block(0)) page = 8;
  clock.advance(kSecond);
  const Result<DirtyEstimate> got = sample.compare(memory, clock);
  EXPECT_EQ(got->changed, 8u);
  EXPECT_EQ(got->lost_pages, 2);
}

TEST(PageSample, a_page_that_was_gone_and_came_back_counts_by_what_it_holds) {
  Memory memory({10});
  memory.lose(0, 0);
  PageSample sample = choose({10}, 10);
  TestClock clock;
  ASSERT_TRUE(sample.remember(memory, clock));
  EXPECT_EQ(sample.sample(0).state, PageSample::State::lost);
  memory.lose(0, 1);
  memory.lose(0, 2);
  clock.advance(kSecond);
  const Result<DirtyEstimate> gone = sample.compare(memory, clock);
  EXPECT_EQ(gone->changed, 0u);
  EXPECT_EQ(gone->lost_pages, 3);
  // 0 was not there before, 1 is another, 2 is as it was (it was swapped out).
  for (uint64_t page = 0; page < 3; ++page) memory.bring_back(0, page);
  memory.block(0)[1] = 8;
  clock.advance(kSecond);
  const Result<DirtyEstimate> back = sample.compare(memory, clock);
  EXPECT_EQ(back->changed, 2u);
  EXPECT_EQ(back->lost_pages, 0);
  EXPECT_EQ(sample.estimate(0).changed, 0u);
  EXPECT_EQ(sample.estimate(0).lost_pages, 3);
  EXPECT_EQ(sample.sample(1, 0).state, PageSample::State::lost);
  EXPECT_EQ(sample.sample(1).state, PageSample::State::changed);
  EXPECT_EQ(sample.sample(2).state, PageSample::State::same);
  memory.lose(0, 1);
  memory.lose(0, 2);
  clock.advance(kSecond);
  const Result<DirtyEstimate> again = sample.compare(memory, clock);
  EXPECT_EQ(again->changed, 2u);
  EXPECT_EQ(again->lost_pages, 1);
}

TEST(PageSample, an_error_of_the_looker_ends_it) {
  Memory memory({10, 10});
  PageSample sample = choose({10, 10}, 20);
  memory.refused = 1;
  const Result<void> looked = sample.remember(memory, TestClock());
  ASSERT_FALSE(looked);
  EXPECT_EQ(looked.error().message(), "block refused");
}

TEST(PageSample, no_pages_are_no_rate) {
  Memory memory({0});
  PageSample sample = choose({0}, 100);
  TestClock clock;
  ASSERT_TRUE(sample.remember(memory, clock));
  EXPECT_EQ(sample.compare(memory, clock).value().pages_per_s.value, 0);
  EXPECT_EQ(choose({}, 100).size(), 0u);
}

TEST(PageSample, counts_beyond_all_bounds_are_refused) {
  const std::vector<uint64_t> huge{UINT64_MAX, 1};
  EXPECT_FALSE(PageSample::choose(huge, 10, 1));
  const std::vector<uint64_t> large{UINT64_MAX};
  EXPECT_FALSE(PageSample::choose(large, PageSample::kMaxSamples + 1, 1));
  EXPECT_TRUE(PageSample::choose(large, 10, 1));
}

TEST(PageSample, samples_per_gib) {
  EXPECT_EQ(PageSample::count_per_gib(262144, 512), 512u);
  EXPECT_EQ(PageSample::count_per_gib(32768, 512), 64u);
  EXPECT_EQ(PageSample::count_per_gib(511, 512), 0u);
  EXPECT_EQ(PageSample::count_per_gib(1000, UINT64_MAX), 1000u);
}

// Memory that a guest writes page by page in order, all the time, while looking takes time too.
class WrittenInOrder final : public PageLooker {
 public:
  WrittenInOrder(uint64_t pages, uint64_t pages_per_s) : pages_(pages), per_s_(pages_per_s) {}
  Result<void> look(size_t, std::span<const uint64_t> pages,
                    std::span<PageLook> looks) noexcept override {
    for (size_t i = 0; i < pages.size(); ++i) {
      const auto written = static_cast<uint64_t>(clock.now().count()) * per_s_ / 1000000000;
      // How often the page was written by now.
      looks[i] = {(written + pages_ - 1 - pages[i]) / pages_, true};
      clock.advance(std::chrono::microseconds(50));
    }
    return {};
  }
  TestClock clock;

 private:
  uint64_t pages_;
  uint64_t per_s_;
};

TEST(PageSample, a_guest_that_writes_in_order_does_not_run_with_the_looks) {
  // Looking takes 0.4 s of an interval of 1.4 s.
  WrittenInOrder memory(65536, 10000);
  PageSample sample = choose({65536}, 8192);
  ASSERT_TRUE(sample.remember(memory, memory.clock));
  memory.clock.advance(kSecond);
  const DirtyEstimate got = sample.compare(memory, memory.clock).value();
  EXPECT_NEAR(got.pages_per_s.value, 10000, 300);
}

TEST(PageSample, windows_of_one_run_are_told_apart_whatever_the_order_of_parts) {
  Memory memory({2000});
  PageSample sample = choose({2000}, 2000);
  TestClock clock;
  ASSERT_EQ(sample.parts(), 4u);
  for (size_t part = 0; part < 4; ++part) ASSERT_TRUE(sample.remember_part(part, memory, clock));
  clock.advance(kSecond);
  for (int i = 0; i < 8; ++i) memory.block(0)[i] = 8;
  for (size_t part = 0; part < 4; ++part) ASSERT_TRUE(sample.compare_part(part, 0, memory, clock));
  for (int i = 100; i < 108; ++i) memory.block(0)[i] = 8;
  memory.lose(0, 500);
  memory.lose(0, 3);
  clock.advance(kSecond);
  for (size_t part = 0; part < 4; ++part) ASSERT_TRUE(sample.compare_part(part, 1, memory, clock));
  EXPECT_EQ(sample.estimate(0).changed, 8u);
  EXPECT_EQ(sample.estimate(0).lost_pages, 0);
  EXPECT_EQ(sample.estimate(1).changed, 16u);
  EXPECT_EQ(sample.estimate(1).lost_pages, 1);
  EXPECT_DOUBLE_EQ(sample.estimate(1).pages_per_s.value, 8);
  EXPECT_EQ(sample.estimate(2).samples, 0u);
  EXPECT_FALSE(sample.compare_part(0, PageSample::kMaxWindows, memory, clock));
}

// How often the true number lies in the interval, for memory that is dirty in different ways.
double coverage(double part, bool regions, uint64_t pages, uint64_t samples) {
  int inside = 0;
  constexpr int kRuns = 400;
  std::mt19937_64 random(42);
  for (int run = 0; run < kRuns; ++run) {
    Memory memory({pages});
    PageSample sample = choose({pages}, samples, 1000 + run);
    TestClock clock;
    EXPECT_TRUE(sample.remember(memory, clock));
    double dirty = 0;
    for (uint64_t page = 0; page < pages; ++page) {
      const uint64_t unit = regions ? page / 64 * 2654435761u % 1000 : random() % 1000;
      if (static_cast<double>(unit) >= part * 1000) continue;
      memory.block(0)[page] = 8;
      dirty += 1;
    }
    clock.advance(kSecond);
    const DirtyEstimate got = sample.compare(memory, clock).value();
    inside += got.pages_per_s.low <= dirty && dirty <= got.pages_per_s.high ? 1 : 0;
  }
  return static_cast<double>(inside) / kRuns;
}

TEST(PageSample, the_interval_holds_the_truth_as_often_as_it_says) {
  EXPECT_GE(coverage(0.5, false, 8192, 512), 0.93);
  EXPECT_GE(coverage(0.05, false, 8192, 512), 0.93);
  EXPECT_GE(coverage(0.005, false, 8192, 512), 0.93);
  EXPECT_GE(coverage(0.3, true, 8192, 512), 0.93);
  EXPECT_GE(coverage(0.02, true, 8192, 512), 0.93);
  EXPECT_GE(coverage(0.2, false, 1000, 700), 0.93);
}

}  // namespace
}  // namespace tern
