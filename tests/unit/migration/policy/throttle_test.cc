// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/throttle.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr DirtyPeriod kBad{51 * kMiB, 100 * kMiB};
constexpr DirtyPeriod kGood{50 * kMiB, 100 * kMiB};

TEST(ConvergenceTrigger, every_second_bad_period_acts) {
  ConvergenceTrigger trigger;
  EXPECT_FALSE(trigger.judge(kBad, 50));
  EXPECT_TRUE(trigger.judge(kBad, 50));
  EXPECT_FALSE(trigger.judge(kBad, 50));
  EXPECT_TRUE(trigger.judge(kBad, 50));
}

TEST(ConvergenceTrigger, a_good_period_between_does_not_make_it_forget) {
  ConvergenceTrigger trigger;
  EXPECT_FALSE(trigger.judge(kBad, 50));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(trigger.judge(kGood, 50));
  EXPECT_TRUE(trigger.judge(kBad, 50));
}

TEST(ConvergenceTrigger, the_threshold_is_a_percentage_of_what_was_sent) {
  for (const uint32_t percent : {1u, 50u, 100u}) {
    ConvergenceTrigger trigger;
    EXPECT_FALSE(trigger.judge({percent * kMiB + 1, 100 * kMiB}, percent));
    EXPECT_FALSE(trigger.judge({percent * kMiB, 100 * kMiB}, percent)) << "equal is not more";
    EXPECT_TRUE(trigger.judge({percent * kMiB + 1, 100 * kMiB}, percent));
  }
}

TEST(ConvergenceTrigger, nothing_sent_is_bad_if_anything_was_dirtied) {
  ConvergenceTrigger trigger;
  EXPECT_FALSE(trigger.judge({0, 0}, 50));
  EXPECT_FALSE(trigger.judge({1, 0}, 50));
  EXPECT_TRUE(trigger.judge({1, 0}, 50));
}

TEST(ConvergenceTrigger, largest_numbers_do_not_overflow) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  ConvergenceTrigger trigger;
  EXPECT_FALSE(trigger.judge({kMost, kMost}, 100));
  EXPECT_FALSE(trigger.judge({kMost, kMost}, 99));
  EXPECT_TRUE(trigger.judge({kMost, kMost}, 99));
}

TEST(Throttle, begins_at_the_initial_percentage_and_grows_by_the_increment_to_the_maximum) {
  ThrottleRules rules;
  rules.max = 45;
  uint32_t percent = 0;
  std::vector<uint32_t> course;
  for (int i = 0; i < 5; ++i) course.push_back(percent = next_throttle(percent, kBad, rules));
  EXPECT_EQ(course, (std::vector<uint32_t>{20, 30, 40, 45, 45}));
}

TEST(Throttle, is_never_100_and_never_0) {
  ThrottleRules rules;
  rules.increment = 99;
  EXPECT_EQ(next_throttle(99, kBad, rules), 99u);
  rules.tailslow = true;
  EXPECT_EQ(next_throttle(1, {0, kMiB}, rules), 99u) << "nothing to divide by: the increment";
}

TEST(Throttle, tailslow_goes_no_further_than_the_dirty_rate_asks_for) {
  ThrottleRules rules;
  rules.tailslow = true;
  // 60 dirtied, 50 allowed: of the 80% that are left, 66 would do. 80 - 66 = 14, but at most 10.
  EXPECT_EQ(next_throttle(20, {60 * kMiB, 100 * kMiB}, rules), 30u);
  // 52 dirtied: 80 * 50 / 52 = 76.9, cut to 76: four more.
  EXPECT_EQ(next_throttle(20, {52 * kMiB, 100 * kMiB}, rules), 24u);
  // Less dirtied than allowed asks for nothing.
  EXPECT_EQ(next_throttle(20, {10 * kMiB, 100 * kMiB}, rules), 20u);
  // Nothing sent: all of what is left, as far as the increment goes.
  EXPECT_EQ(next_throttle(20, {kMiB, 0}, rules), 30u);
}

TEST(Throttle, slices_keep_the_percentage_and_no_hold_is_longer_than_50_ms) {
  for (uint32_t percent = 1; percent <= 99; ++percent) {
    const ThrottleSlices s = throttle_slices(percent);
    const double held = static_cast<double>(s.hold.count());
    const double all = held + static_cast<double>(s.run.count());
    EXPECT_NEAR(100 * held / all, percent, 0.01) << percent;
    EXPECT_LE(s.hold, Milliseconds(50)) << percent;
    EXPECT_LE(s.run, Milliseconds(10)) << percent;
    EXPECT_GT(s.run, Nanoseconds(0)) << percent;
  }
  EXPECT_EQ(throttle_slices(20).run, Milliseconds(10)) << "as QEMU";
  EXPECT_EQ(throttle_slices(20).hold, std::chrono::microseconds(2500));
  EXPECT_EQ(throttle_slices(50).hold, Milliseconds(10));
}

}  // namespace
}  // namespace tern
