// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/bandwidth.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr Milliseconds ms(int n) { return Milliseconds(n); }

TEST(BandwidthEstimator, knows_nothing_at_first) {
  EXPECT_EQ(BandwidthEstimator().bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, is_bytes_over_the_time_spent_sending) {
  BandwidthEstimator estimate;
  estimate.add(100 * kMiB, 25600, 25600, ms(100));
  EXPECT_EQ(estimate.bytes_per_s(), 1000 * kMiB);
}

TEST(BandwidthEstimator, less_than_a_millisecond_says_nothing) {
  BandwidthEstimator estimate;
  estimate.add(10 * kMiB, 2560, 2560, std::chrono::microseconds(900));
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, less_than_256_kib_says_nothing) {
  BandwidthEstimator estimate;
  estimate.add(255 * 1024, 63, 63, ms(10));
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, small_pieces_add_up) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 100; ++i) estimate.add(kMiB, 256, 256, ms(1));
  EXPECT_NEAR(static_cast<double>(estimate.bytes_per_s()), 1000.0 * kMiB, 5.0 * kMiB);
}

TEST(BandwidthEstimator, stretches_of_mostly_zero_pages_do_not_count) {
  BandwidthEstimator estimate;
  estimate.add(100 * kMiB, 25600, 25600, ms(100));
  // A thousand zero pages a millisecond: few bytes, much time. The rest will not be like this.
  estimate.add(kMiB, 200000, 100, ms(400));
  EXPECT_EQ(estimate.bytes_per_s(), 1000 * kMiB);
}

TEST(BandwidthEstimator, one_burst_into_a_socket_buffer_does_not_decide) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 20; ++i) estimate.add(10 * kMiB, 2560, 2560, ms(100));
  estimate.add(4 * kMiB, 1024, 1024, ms(1));
  EXPECT_LT(estimate.bytes_per_s(), 110 * kMiB);
}

TEST(BandwidthEstimator, follows_a_link_that_became_slow_within_seconds) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 20; ++i) estimate.add(100 * kMiB, 25600, 25600, ms(100));
  for (int i = 0; i < 50; ++i) estimate.add(kMiB, 256, 256, ms(100));
  EXPECT_LT(estimate.bytes_per_s(), 20 * kMiB);
  EXPECT_GE(estimate.bytes_per_s(), 9 * kMiB);
}

TEST(BandwidthEstimator, time_that_did_not_pass_is_ignored) {
  BandwidthEstimator estimate;
  estimate.add(100 * kMiB, 25600, 25600, Nanoseconds(0));
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

}  // namespace
}  // namespace tern
