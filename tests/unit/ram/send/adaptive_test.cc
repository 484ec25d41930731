// SPDX-License-Identifier: Apache-2.0
#include "ram/send/adaptive.h"

#include <gtest/gtest.h>

#include <functional>

namespace tern {
namespace {

constexpr uint64_t kBytes = 512u << 10;
using Cost = std::function<Nanoseconds(bool compressed)>;

// Runs batches of these costs; returns how many of them were compressed.
int run(AdaptiveCompression& adaptive, int batches, const Cost& cost) {
  int compressed = 0;
  for (int i = 0; i < batches; ++i) {
    const bool compress = adaptive.compress();
    compressed += compress ? 1 : 0;
    adaptive.report(compress, kBytes, cost(compress));
  }
  return compressed;
}
Cost costs(int64_t compressed, int64_t plain) {
  return [=](bool compress) { return Nanoseconds(compress ? compressed : plain); };
}

TEST(Adaptive, each_way_is_tried_before_one_is_chosen) {
  AdaptiveCompression adaptive;
  EXPECT_EQ(run(adaptive, 4, costs(1000, 1)), 4);
  EXPECT_EQ(run(adaptive, 4, costs(1, 1000)), 0);
}

TEST(Adaptive, the_way_that_costs_less_is_taken) {
  AdaptiveCompression slow_link;
  run(slow_link, 64, costs(1000, 9000));
  EXPECT_GE(run(slow_link, 640, costs(1000, 9000)), 620);
  AdaptiveCompression fast_link;
  run(fast_link, 64, costs(9000, 1000));
  EXPECT_LE(run(fast_link, 640, costs(9000, 1000)), 20);
}

TEST(Adaptive, the_other_way_is_tried_now_and_then) {
  AdaptiveCompression adaptive;
  run(adaptive, 64, costs(9000, 1000));
  const int tried = run(adaptive, 640, costs(9000, 1000));
  EXPECT_GE(tried, 10);
}

TEST(Adaptive, a_link_that_changes_changes_the_choice) {
  AdaptiveCompression adaptive;
  run(adaptive, 256, costs(5000, 1000));
  EXPECT_LE(run(adaptive, 64, costs(5000, 1000)), 2);
  run(adaptive, 256, costs(5000, 50000));  // the link became slow
  EXPECT_GE(run(adaptive, 64, costs(5000, 50000)), 62);
  run(adaptive, 512, costs(5000, 1000));
  EXPECT_LE(run(adaptive, 64, costs(5000, 1000)), 2);
}

TEST(Adaptive, one_slow_batch_changes_nothing) {
  AdaptiveCompression adaptive;
  run(adaptive, 67, costs(1000, 9000));
  ASSERT_TRUE(adaptive.compress());
  adaptive.report(true, kBytes, Nanoseconds(20000));
  EXPECT_TRUE(adaptive.compress());
}

TEST(Adaptive, batches_of_nothing_say_nothing) {
  AdaptiveCompression adaptive;
  run(adaptive, 8, costs(1000, 9000));
  for (int i = 0; i < 56; ++i) adaptive.report(true, 0, Nanoseconds(1'000'000'000));
  run(adaptive, 2, costs(1000, 9000));
  EXPECT_TRUE(adaptive.compress());
}

TEST(Adaptive, what_counts_is_the_cost_of_a_byte) {
  AdaptiveCompression adaptive;
  for (int i = 0; i < 4; ++i) adaptive.report(true, 4096, Nanoseconds(100));
  for (int i = 0; i < 4; ++i) adaptive.report(false, 128 * 4096, Nanoseconds(3000));
  EXPECT_FALSE(adaptive.compress());
}

}  // namespace
}  // namespace tern
