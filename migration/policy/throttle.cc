// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/throttle.h"

#include <algorithm>

namespace tern {
namespace {

constexpr uint32_t kStrikes = 2;
constexpr int64_t kRunNs = 10'000'000;
constexpr int64_t kMaxHoldNs = 50'000'000;

__extension__ using Wide = unsigned __int128;

Wide limit_of(const DirtyPeriod& period, uint32_t threshold_percent) noexcept {
  return static_cast<Wide>(period.sent) * threshold_percent / 100;
}

}  // namespace

bool ConvergenceTrigger::judge(const DirtyPeriod& period, uint32_t threshold_percent) noexcept {
  if (period.dirtied <= limit_of(period, threshold_percent)) return false;
  if (++strikes_ < kStrikes) return false;
  strikes_ = 0;
  return true;
}

uint32_t next_throttle(uint32_t percent, const DirtyPeriod& period,
                       const ThrottleRules& rules) noexcept {
  uint32_t next = rules.initial;
  if (percent != 0) {
    uint32_t step = rules.increment;
    if (rules.tailslow && period.dirtied != 0) {
      // What would be left of the vCPUs if they dirtied just the limit; never a longer step.
      const uint32_t left = 100 - std::min(percent, 99u);
      const auto ideal = static_cast<uint32_t>(
          std::min<Wide>(left, left * limit_of(period, rules.trigger_threshold) / period.dirtied));
      step = std::min(left - ideal, step);
    }
    next = percent + step;
  }
  return std::clamp(std::min(next, rules.max), 1u, 99u);
}

ThrottleSlices throttle_slices(uint32_t percent) noexcept {
  const int64_t p = std::clamp(percent, 1u, 99u);
  const int64_t hold = kRunNs * p / (100 - p);
  if (hold <= kMaxHoldNs) return {Nanoseconds(kRunNs), Nanoseconds(hold)};
  return {Nanoseconds(kMaxHoldNs * (100 - p) / p), Nanoseconds(kMaxHoldNs)};
}

}  // namespace tern
