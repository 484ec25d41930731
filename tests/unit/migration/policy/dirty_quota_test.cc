// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/dirty_quota.h"

#include <gtest/gtest.h>

#include <functional>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr Nanoseconds kTick = DirtyQuota::kTick;

/// Bytes/s that a vCPU dirties under a limit, in the last `seconds` of twice that time, if it
/// dirties `speed(t)` bytes in a second of running.
double rate_under(uint64_t limit, int seconds, const std::function<double(double)>& speed) {
  DirtyQuota quota;
  quota.set_limit(limit);
  Nanoseconds run = kTick;
  double counted = 0;
  const int ticks = seconds * 2 * 50;
  for (int i = 0; i < ticks; ++i) {
    const double dirtied = speed(i / 50.0) * static_cast<double>(run.count()) / 1e9;
    if (i >= ticks / 2) counted += dirtied;
    run = quota.next(static_cast<uint64_t>(dirtied), kTick);
    EXPECT_LE(run, kTick);
  }
  return counted / seconds;
}

TEST(DirtyQuota, without_a_limit_everything_may_run) {
  DirtyQuota quota;
  EXPECT_EQ(quota.next(1000 * kMiB, kTick), kTick);
}

TEST(DirtyQuota, a_vcpu_below_its_limit_is_left_alone) {
  DirtyQuota quota;
  quota.set_limit(100 * kMiB);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(quota.next(kMiB, kTick), kTick) << i;
}

TEST(DirtyQuota, a_vcpu_above_its_limit_comes_down_to_it) {
  for (const uint64_t limit : {1u, 10u, 100u, 500u}) {
    const double rate = rate_under(limit * kMiB, 5, [](double) { return 1000.0 * kMiB; });
    EXPECT_NEAR(rate / kMiB / static_cast<double>(limit), 1, 0.05) << limit;
  }
}

TEST(DirtyQuota, speed_that_changes_does_not_escape) {
  const double rate = rate_under(50 * kMiB, 8, [](double t) {
    return (static_cast<int>(t) % 2 == 0 ? 2000.0 : 100.0) * kMiB;
  });
  EXPECT_NEAR(rate / kMiB, 50, 5);
}

TEST(DirtyQuota, what_was_dirtied_before_the_limit_stops_nobody_for_more_than_a_second) {
  DirtyQuota quota;
  quota.set_limit(kMiB);
  int stopped = 0;
  Nanoseconds run = quota.next(100'000 * kMiB, kTick);
  while (run.count() == 0) {
    ++stopped;
    run = quota.next(0, kTick);
  }
  EXPECT_GT(stopped, 40);
  EXPECT_LE(stopped, 51);
}

TEST(DirtyQuota, credit_is_not_saved_up) {
  DirtyQuota quota;
  quota.set_limit(100 * kMiB);
  for (int i = 0; i < 1000; ++i) quota.next(0, kTick);
  // 20 s of nothing do not allow a second of everything.
  double dirtied = 0;
  Nanoseconds run = kTick;
  for (int i = 0; i < 50; ++i) {
    const double bytes = 1000.0 * kMiB * static_cast<double>(run.count()) / 1e9;
    dirtied += bytes;
    run = quota.next(static_cast<uint64_t>(bytes), kTick);
  }
  EXPECT_LT(dirtied / kMiB, 130);
}

TEST(DirtyQuota, a_limit_taken_away_frees_at_once) {
  DirtyQuota quota;
  quota.set_limit(kMiB);
  EXPECT_EQ(quota.next(100 * kMiB, kTick), Nanoseconds(0));
  quota.set_limit(0);
  EXPECT_EQ(quota.next(100 * kMiB, kTick), kTick);
}

TEST(DirtyQuota, time_that_did_not_pass_is_ignored) {
  DirtyQuota quota;
  quota.set_limit(kMiB);
  EXPECT_EQ(quota.next(kMiB, Nanoseconds(0)), kTick);
}

}  // namespace
}  // namespace tern
