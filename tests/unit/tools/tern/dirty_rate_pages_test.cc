// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_pages.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tern::tool {
namespace {

constexpr uint64_t kPage = 4096;

PageRuns of(const std::vector<PageRun>& pages) {
  PageRuns runs;
  for (const PageRun& run : pages) runs.add(run.start * kPage, run.end * kPage);
  return runs;
}

TEST(DirtyRatePages, runs_that_touch_become_one) {
  const PageRuns runs = of({{1, 3}, {3, 5}, {8, 9}, {8, 10}, {9, 9}});
  EXPECT_EQ(runs.runs(), (std::vector<PageRun>{{kPage, 5 * kPage}, {8 * kPage, 10 * kPage}}));
  EXPECT_EQ(runs.pages(), 6u);
}

TEST(DirtyRatePages, pages_have_numbers_in_the_order_of_addresses) {
  const PageRuns runs = of({{10, 12}, {20, 21}, {30, 40}});
  EXPECT_EQ(runs.address(0), 10 * kPage);
  EXPECT_EQ(runs.address(2), 20 * kPage);
  EXPECT_EQ(runs.address(12), 39 * kPage);
  for (uint64_t page = 0; page < runs.pages(); ++page) {
    EXPECT_EQ(runs.number(runs.address(page)), page);
    EXPECT_TRUE(runs.contains(runs.address(page)));
  }
  EXPECT_EQ(runs.number(0), 0u);
  EXPECT_EQ(runs.number(15 * kPage), 2u);
  EXPECT_EQ(runs.number(100 * kPage), 13u);
  EXPECT_FALSE(runs.contains(12 * kPage));
  EXPECT_FALSE(PageRuns().contains(0));
}

TEST(DirtyRatePages, what_one_set_has_that_another_has_not) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::set<uint64_t> in_a;
    std::set<uint64_t> in_b;
    PageRuns a;
    PageRuns b;
    for (uint64_t page = 0; page < 60; ++page) {
      if (random() % 3 != 0) {
        in_a.insert(page);
        a.add(page * kPage, (page + 1) * kPage);
      }
      if (random() % 3 == 0) {
        in_b.insert(page);
        b.add(page * kPage, (page + 1) * kPage);
      }
    }
    const PageRuns left = a.without(b);
    uint64_t expected = 0;
    for (const uint64_t page : in_a) {
      const bool there = !in_b.contains(page);
      EXPECT_EQ(left.contains(page * kPage), there);
      expected += there ? 1 : 0;
    }
    EXPECT_EQ(left.pages(), expected);
    const PageRuns both = a.with(b);
    in_a.insert(in_b.begin(), in_b.end());
    EXPECT_EQ(both.pages(), in_a.size());
    for (const uint64_t page : in_a) EXPECT_TRUE(both.contains(page * kPage));
  }
}

}  // namespace
}  // namespace tern::tool
