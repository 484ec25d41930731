// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/dirty_estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tern {
namespace {

using Ms = std::chrono::milliseconds;

// `samples` samples, each of a cell of `cell` pages.
SampleGroup group(uint64_t samples, uint64_t changed, double cell, Nanoseconds interval) {
  const double seconds = std::chrono::duration<double>(interval).count();
  return {.samples = samples,
          .changed = changed,
          .pages = static_cast<double>(samples) * cell,
          .changed_pages = static_cast<double>(changed) * cell,
          .spread = static_cast<double>(samples) * cell * (cell - 1),
          .page_seconds = static_cast<double>(samples) * cell * seconds,
          .pages_per_s = static_cast<double>(changed) * cell / seconds};
}

TEST(DirtyEstimate, when_every_page_was_looked_at_there_is_nothing_to_guess) {
  const std::vector<SampleGroup> groups{group(16, 4, 1, Ms(500)), group(16, 0, 1, Ms(500))};
  const DirtyEstimate got = estimate_dirty(groups);
  EXPECT_EQ(got.pages, 32);
  EXPECT_EQ(got.dirty_pages.value, 4);
  EXPECT_DOUBLE_EQ(got.pages_per_s.value, 8);
  EXPECT_DOUBLE_EQ(got.pages_per_s.low, 8);
  EXPECT_DOUBLE_EQ(got.pages_per_s.high, 8);
  EXPECT_EQ(got.precision(), 0);
}

TEST(DirtyEstimate, each_group_counts_by_its_own_interval) {
  const std::vector<SampleGroup> groups{group(16, 8, 1, Ms(1000)), group(16, 8, 1, Ms(4000))};
  const DirtyEstimate got = estimate_dirty(groups);
  EXPECT_DOUBLE_EQ(got.pages_per_s.value, 10);
  EXPECT_EQ(got.interval, Ms(2500));
}

TEST(DirtyEstimate, no_change_still_has_an_upper_end) {
  const std::vector<SampleGroup> groups(10, group(10, 0, 100, Ms(1000)));
  const DirtyEstimate got = estimate_dirty(groups);
  EXPECT_EQ(got.pages_per_s.value, 0);
  EXPECT_EQ(got.pages_per_s.low, 0);
  // 0 of 100 samples: up to 3.7 % of 10000 pages.
  EXPECT_NEAR(got.pages_per_s.high, 370, 10);
  EXPECT_TRUE(std::isinf(got.precision()));
}

TEST(DirtyEstimate, lost_pages_are_no_dirty_pages) {
  SampleGroup with_lost = group(16, 4, 2, Ms(1000));
  with_lost.lost = 3;
  with_lost.lost_pages = 6;
  const DirtyEstimate got = estimate_dirty(std::vector{with_lost});
  EXPECT_EQ(got.dirty_pages.value, 8);
  EXPECT_EQ(got.lost_pages, 6);
}

TEST(DirtyEstimate, memory_that_is_dirty_in_regions_is_known_better) {
  std::vector<SampleGroup> regions;
  std::vector<SampleGroup> mixed;
  for (int i = 0; i < 32; ++i) {
    regions.push_back(group(16, i < 16 ? 16 : 0, 50, Ms(1000)));
    mixed.push_back(group(16, 8, 50, Ms(1000)));
  }
  const double regional = estimate_dirty(regions).precision();
  const double random = estimate_dirty(mixed).precision();
  EXPECT_GT(random, 0.05);
  EXPECT_LT(regional, random / 2);
}

TEST(DirtyEstimate, nothing_at_all_is_zero) {
  const DirtyEstimate got = estimate_dirty({});
  EXPECT_EQ(got.pages_per_s.value, 0);
  EXPECT_EQ(got.samples, 0u);
}

TEST(DirtyEstimate, samples_for_a_precision) {
  // Half of the pages dirty, 5 %: 1537 samples of very many pages, fewer of few.
  EXPECT_EQ(samples_for(0.05, 0.5, uint64_t{1} << 40), 1537u);
  EXPECT_EQ(samples_for(0.05, 0.5, 1537), 769u);
  EXPECT_EQ(samples_for(0.05, 1.0, 1000), 1u);
  EXPECT_EQ(samples_for(0.05, 0.0, 1000), 1000u);
  EXPECT_EQ(samples_for(0.0, 0.5, 1000), 1000u);
  EXPECT_EQ(samples_for(0.05, 0.5, 0), 0u);
}

}  // namespace
}  // namespace tern
