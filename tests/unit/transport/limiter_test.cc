// SPDX-License-Identifier: Apache-2.0
#include "transport/limiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

namespace tern::transport {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A sender that obeys: sends pieces of that size for that long. Returns the bytes it got away
/// with.
uint64_t send_for(Limiter& limiter, uint64_t piece, Nanoseconds duration, Nanoseconds& now) {
  uint64_t sent = 0;
  const Nanoseconds end = now + duration;
  while (now < end) {
    sent += piece;
    now += limiter.charge(piece, now);
  }
  return sent;
}

TEST(LimiterTest, no_rate_is_no_limit) {
  Limiter limiter;
  EXPECT_EQ(limiter.charge(std::numeric_limits<uint64_t>::max(), seconds(1)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(1, seconds(1)), Nanoseconds{0});
}

// As a migration over many channels does it: what was handed to them is written some time later,
// and charged when it was.
TEST(LimiterTest, what_channels_write_later_is_within_5_percent_of_the_rate_in_every_second) {
  for (const uint64_t rate : {1u << 20, 100u << 20, 1000u << 20}) {
    for (const size_t channels : {1, 4, 64}) {
      Limiter limiter(rate);
      Nanoseconds now{0};
      const uint64_t chunk = std::max<uint64_t>(rate / 100, 4104);
      std::vector<uint64_t> under_way(channels, 0);
      uint64_t written = 0;
      uint64_t second_began = 0;
      size_t next = 0;
      for (int second = 0; second < 4; ++second) {
        while (now < seconds(second + 1)) {
          // Each channel writes what it was given the last time but one.
          written += std::exchange(under_way[next], chunk / channels);
          next = (next + 1) % channels;
          now += std::max<Nanoseconds>(limiter.charge(under_way[next], now), microseconds(50));
        }
        if (second > 0) {
          const double got = static_cast<double>(written - second_began);
          EXPECT_NEAR(got / static_cast<double>(rate), 1.0, 0.05) << rate << " " << channels;
        }
        second_began = written;
      }
    }
  }
}

TEST(LimiterTest, the_long_run_average_is_the_rate_whatever_rate_and_piece) {
  struct Case {
    uint64_t rate;
    uint64_t piece;
    Nanoseconds duration;
  };
  const std::vector<Case> cases{
      {1, 4104, hours(24 * 365)},
      {10, 4104, hours(24 * 30)},
      {333, 1, hours(10)},
      {4u << 20, 4104, seconds(100)},
      {4u << 20, 512u << 10, seconds(100)},
      {134217728, 4104, seconds(100)},
      {134217728, 1u << 20, seconds(100)},
      {100'000'000'000, 512u << 10, seconds(10)},
  };
  for (const Case& c : cases) {
    Limiter limiter(c.rate);
    Nanoseconds now{12345};
    const Nanoseconds start = now;
    const auto sent = static_cast<double>(send_for(limiter, c.piece, c.duration, now));
    const double average = sent / std::chrono::duration<double>(now - start).count();
    EXPECT_NEAR(average / static_cast<double>(c.rate), 1.0, 0.01) << c.rate << " " << c.piece;
  }
}

TEST(LimiterTest, a_piece_above_the_bucket_is_paid_back_to_the_nanosecond) {
  Limiter limiter(1'000'000);
  EXPECT_EQ(limiter.charge(0, seconds(5)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(1'000'000, seconds(5)), seconds(1));
  EXPECT_EQ(limiter.charge(0, seconds(5) + milliseconds(400)), milliseconds(600));
  EXPECT_EQ(limiter.charge(0, seconds(6)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(1, seconds(6)), Nanoseconds{1000});
}

TEST(LimiterTest, a_stall_earns_at_most_one_bucket) {
  Limiter limiter(100'000'000);  // bucket: 500000 bytes
  EXPECT_EQ(limiter.charge(0, seconds(1)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(500'000, hours(100)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(100, hours(100)), Nanoseconds{1000});
}

TEST(LimiterTest, a_tiny_rate_still_lets_a_page_through_at_once) {
  Limiter limiter(1);
  EXPECT_EQ(limiter.charge(0, seconds(0)), Nanoseconds{0});
  EXPECT_EQ(limiter.charge(4096 + 8, hours(10)), Nanoseconds{0});
}

TEST(LimiterTest, a_new_rate_applies_to_the_debt_there_is) {
  Limiter limiter(1000);
  EXPECT_EQ(limiter.charge(100'000, seconds(0)), seconds(100));
  limiter.set_rate(100'000);
  EXPECT_EQ(limiter.rate(), 100'000u);
  EXPECT_EQ(limiter.charge(0, seconds(0)), seconds(1));
  limiter.set_rate(0);
  EXPECT_EQ(limiter.charge(0, seconds(0)), Nanoseconds{0});
  limiter.set_rate(1000);
  EXPECT_EQ(limiter.charge(1, seconds(0)), milliseconds(1));
}

TEST(LimiterTest, time_that_goes_back_gives_and_takes_nothing) {
  Limiter limiter(1000);
  EXPECT_EQ(limiter.charge(1000, seconds(10)), seconds(1));
  EXPECT_EQ(limiter.charge(0, seconds(3)), seconds(1));
  EXPECT_EQ(limiter.charge(0, seconds(10) + milliseconds(500)), milliseconds(500));
}

TEST(LimiterTest, the_extremes_do_not_overflow) {
  constexpr auto kMaxTime = Nanoseconds::max();
  constexpr auto kMax = std::numeric_limits<uint64_t>::max();
  Limiter fast(kMax);
  EXPECT_EQ(fast.charge(1, Nanoseconds::min() / 2), Nanoseconds{1});
  EXPECT_EQ(fast.charge(1, kMaxTime), Nanoseconds{0});
  Limiter slow(1);
  EXPECT_EQ(slow.charge(kMax, Nanoseconds{0}), kMaxTime);
  EXPECT_EQ(slow.charge(kMax, Nanoseconds{0}), kMaxTime);
}

TEST(LimiterTest, several_senders_share_one_rate) {
  Limiter limiter(1'000'000);
  constexpr uint64_t kPieces = 1000;
  std::vector<std::thread> senders;
  for (int i = 0; i < 4; ++i) {
    senders.emplace_back([&] {
      for (uint64_t n = 0; n < kPieces; ++n) limiter.charge(1000, Nanoseconds{0});
    });
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(limiter.charge(0, Nanoseconds{0}), seconds(4));
}

}  // namespace
}  // namespace tern::transport
