// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/dirty_quota.h"

#include <algorithm>

namespace tern {
namespace {

/// Nobody stands still for longer than this for what it dirtied before it was noticed.
constexpr double kMostDebtNs = 1e9;
constexpr double kMostCreditNs = 50e6;
/// A run shorter than a thread takes to wake is none.
constexpr Nanoseconds kShortestRun{20'000};

}  // namespace

void DirtyQuota::set_limit(uint64_t bytes_per_s) noexcept {
  limit_ = bytes_per_s;
  debt_ = 0;
}

Nanoseconds DirtyQuota::next(uint64_t bytes, Nanoseconds tick) noexcept {
  if (limit_ == 0 || tick.count() <= 0) return run_ = kTick;
  const double per_ns = static_cast<double>(limit_) / 1e9;
  const double dirtied = static_cast<double>(bytes);
  if (run_.count() > 0) {
    // What is dirtied comes in bursts: fast ones count at once, slow ones with time.
    const double now = dirtied / static_cast<double>(std::min(run_, tick).count());
    speed_ = now > speed_ ? (speed_ + now) / 2 : speed_ + (now - speed_) / 8;
  }
  debt_ = std::clamp(debt_ + dirtied - per_ns * static_cast<double>(tick.count()),
                     -per_ns * kMostCreditNs, per_ns * kMostDebtNs);
  const double allowed = per_ns * static_cast<double>(kTick.count()) - debt_;
  if (allowed <= 0) return run_ = Nanoseconds(0);
  if (speed_ * static_cast<double>(kTick.count()) <= allowed) return run_ = kTick;
  const Nanoseconds run(static_cast<int64_t>(allowed / speed_));
  return run_ = run < kShortestRun ? kShortestRun : run;
}

}  // namespace tern
