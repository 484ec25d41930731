// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/bandwidth.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kPagesPerMiB = 256;
constexpr Milliseconds ms(int n) { return Milliseconds(n); }

TEST(BandwidthEstimator, knows_nothing_at_first) {
  EXPECT_EQ(BandwidthEstimator().bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, is_bytes_over_the_time_spent_sending) {
  BandwidthEstimator estimate;
  estimate.add({100 * kPagesPerMiB, 0, ms(100)});
  EXPECT_EQ(estimate.bytes_per_s(), 1000 * kMiB);
}

TEST(BandwidthEstimator, less_than_a_millisecond_says_nothing) {
  BandwidthEstimator estimate;
  estimate.add({10 * kPagesPerMiB, 0, std::chrono::microseconds(900)});
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, less_than_256_kib_says_nothing) {
  BandwidthEstimator estimate;
  estimate.add({63, 0, ms(10)});
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, small_pieces_add_up) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 100; ++i) estimate.add({kPagesPerMiB, 0, ms(1)});
  EXPECT_NEAR(static_cast<double>(estimate.bytes_per_s()), 1000.0 * kMiB, 5.0 * kMiB);
}

TEST(BandwidthEstimator, stretches_of_zero_pages_do_not_count) {
  BandwidthEstimator estimate;
  estimate.add({100 * kPagesPerMiB, 0, ms(100)});
  // Few bytes, much time. The rest will not be like this.
  estimate.add({100, 200000, ms(400)});
  EXPECT_EQ(estimate.bytes_per_s(), 1000 * kMiB);
}

TEST(BandwidthEstimator, what_zero_pages_cost_is_learnt_and_taken_off_where_they_are_mixed) {
  BandwidthEstimator estimate;
  estimate.add({0, 10000, ms(10)});  // a microsecond each
  // 10 ms for the zeros, 100 ms for 100 MiB of data.
  for (int i = 0; i < 5; ++i) estimate.add({100 * kPagesPerMiB, 10000, ms(110)});
  EXPECT_NEAR(static_cast<double>(estimate.bytes_per_s()), 1000.0 * kMiB, kMiB);
}

TEST(BandwidthEstimator, before_that_is_known_stretches_of_mostly_zeros_say_nothing) {
  BandwidthEstimator estimate;
  estimate.add({100 * kPagesPerMiB, 150 * kPagesPerMiB, ms(400)});
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(BandwidthEstimator, dear_zero_pages_do_not_make_the_link_look_quick) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 10; ++i) estimate.add({0, 10000, ms(10)});
  estimate.add({0, 10000, ms(1000)});  // the first touch of memory
  estimate.add({100 * kPagesPerMiB, 5000, ms(105)});
  EXPECT_NEAR(static_cast<double>(estimate.bytes_per_s()), 1000.0 * kMiB, 300.0 * kMiB);
}

TEST(BandwidthEstimator, one_burst_into_a_socket_buffer_does_not_decide) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 20; ++i) estimate.add({10 * kPagesPerMiB, 0, ms(100)});
  estimate.add({4 * kPagesPerMiB, 0, ms(1)});
  EXPECT_LT(estimate.bytes_per_s(), 110 * kMiB);
}

TEST(BandwidthEstimator, follows_a_link_that_became_slow_within_seconds) {
  BandwidthEstimator estimate;
  for (int i = 0; i < 20; ++i) estimate.add({100 * kPagesPerMiB, 0, ms(100)});
  for (int i = 0; i < 50; ++i) estimate.add({kPagesPerMiB, 0, ms(100)});
  EXPECT_LT(estimate.bytes_per_s(), 20 * kMiB);
  EXPECT_GE(estimate.bytes_per_s(), 9 * kMiB);
}

TEST(BandwidthEstimator, time_that_did_not_pass_is_ignored) {
  BandwidthEstimator estimate;
  estimate.add({100 * kPagesPerMiB, 0, Nanoseconds(0)});
  EXPECT_EQ(estimate.bytes_per_s(), 0u);
}

TEST(WindowBandwidth, is_the_bytes_of_the_last_100_ms_waits_included) {
  WindowBandwidth window;
  window.look(0, ms(0));
  EXPECT_EQ(window.bytes_per_s(), 0u);
  window.look(kMiB, ms(99));
  EXPECT_EQ(window.bytes_per_s(), 0u) << "a window is 100 ms long at least";
  window.look(2 * kMiB, ms(200));
  EXPECT_EQ(window.bytes_per_s(), 10 * kMiB);
  window.look(2 * kMiB, ms(299));
  EXPECT_EQ(window.bytes_per_s(), 10 * kMiB);
  window.look(2 * kMiB, ms(300));
  EXPECT_EQ(window.bytes_per_s(), 0u) << "one stall, and nothing seems to go";
}

}  // namespace
}  // namespace tern
