// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/dirty_limits.h"

#include <gtest/gtest.h>

#include <array>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr Nanoseconds kTick = DirtyQuota::kTick;

/// Two vCPUs that dirty 400 MiB in a second of running, and what becomes of them under limits.
struct DirtyLimitsTest : testing::Test {
  static constexpr uint64_t kSpeed = 400 * kMiB / 4096;  // pages/s

  DirtyLimits limits{2};
  std::array<uint64_t, 2> pages{};
  std::array<Nanoseconds, 2> held{};

  /// Pages that each dirtied in so many ticks.
  std::array<uint64_t, 2> run(int ticks) {
    const std::array<uint64_t, 2> before = pages;
    for (; ticks > 0; --ticks) {
      for (size_t i = 0; i < 2; ++i) {
        const Nanoseconds ran = kTick - std::min(held[i], kTick);
        pages[i] += kSpeed * static_cast<uint64_t>(ran.count()) / 1'000'000'000;
        held[i] -= std::min(held[i], kTick);
      }
      for (const auto& [vcpu, time] : limits.tick(pages, kTick)) held.at(vcpu) = time;
    }
    return {pages[0] - before[0], pages[1] - before[1]};
  }
};

TEST_F(DirtyLimitsTest, a_vcpu_with_a_limit_is_slowed_down_and_the_other_is_not) {
  limits.set(1, 20);
  run(50);
  const auto [free, limited] = run(100);
  EXPECT_EQ(free, kSpeed * 2);
  EXPECT_NEAR(static_cast<double>(limited), 2 * 20 * 256, 256);
}

TEST_F(DirtyLimitsTest, without_limits_nobody_is_held) {
  EXPECT_FALSE(limits.any());
  EXPECT_EQ(run(10)[0], kSpeed / 5);
  limits.set(std::nullopt, 20);
  EXPECT_TRUE(limits.any());
  run(10);
  limits.set(std::nullopt, 0);
  EXPECT_FALSE(limits.any());
  run(2);  // a hold that has begun goes on to its end
  EXPECT_EQ(run(10)[1], kSpeed / 5);
}

TEST_F(DirtyLimitsTest, one_that_may_not_run_is_held_into_the_tick_after_the_next) {
  limits.set(0, 1);
  run(1);
  EXPECT_EQ(held[0], 2 * kTick) << "it dirtied 8 MiB: nothing more for a second";
}

TEST_F(DirtyLimitsTest, figures_are_those_of_the_last_period) {
  limits.set(std::nullopt, 20);
  EXPECT_EQ(limits.figures().held_percent, 0u);
  run(50);
  limits.end_period(50 * kTick);
  run(50);
  EXPECT_EQ(limits.query().at(0).limit_rate, 20u);
  limits.end_period(50 * kTick);
  const DirtyLimitFigures figures = limits.figures();
  EXPECT_NEAR(figures.held_percent, 95, 1);
  // 16 MiB at 20 MiB/s.
  EXPECT_NEAR(static_cast<double>(figures.ring_full_time), 800'000, 20'000);
  EXPECT_NEAR(static_cast<double>(figures.throttle_time_per_round), 760'000, 20'000);
  EXPECT_NEAR(static_cast<double>(limits.query().at(1).current_rate), 20, 1);
}

TEST_F(DirtyLimitsTest, a_guest_that_dirties_nothing_has_no_figures) {
  limits.set(0, 1);
  limits.tick(pages, kTick);
  limits.end_period(kTick);
  EXPECT_EQ(limits.figures().ring_full_time, 0u);
  EXPECT_EQ(limits.figures().throttle_time_per_round, 0u);
  limits.end_period(Nanoseconds(0));
  EXPECT_EQ(limits.query().at(0).current_rate, 0u) << "no time, no rate";
}

TEST_F(DirtyLimitsTest, a_vcpu_is_never_held_for_a_whole_period) {
  limits.set(0, 1);
  run(50);
  limits.end_period(10 * kTick);  // shorter than what it was held
  EXPECT_EQ(limits.figures().held_percent, 99u);
}

TEST_F(DirtyLimitsTest, clear_forgets_everything) {
  limits.set(0, 20);
  run(50);
  limits.end_period(50 * kTick);
  limits.clear();
  EXPECT_FALSE(limits.any());
  EXPECT_TRUE(limits.query().empty());
  EXPECT_EQ(limits.figures().held_percent, 0u);
  EXPECT_EQ(limits.figures().ring_full_time, 0u);
}

TEST_F(DirtyLimitsTest, the_largest_limit_is_no_small_one) {
  limits.set(0, UINT64_MAX);
  EXPECT_EQ(limits.query().at(0).limit_rate, UINT64_MAX / kMiB);
  EXPECT_EQ(run(10)[0], kSpeed / 5);
}

}  // namespace
}  // namespace tern
