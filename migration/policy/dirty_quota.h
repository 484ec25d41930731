// SPDX-License-Identifier: Apache-2.0
//
// How long a vCPU may run so that it dirties no more than it may (dirty-limit). Pure: time and
// counts come in, a share of the next tick comes out.
//
// QEMU lets a vCPU sleep when its dirty ring is full, by an amount that it changes once a second.
// With a large ring that is coarse, and with a small quota it swings between too much and too
// little. Here a vCPU gets, tick by tick, the time in which it will dirty what its quota allows, at
// the speed that was just measured; what it dirtied more or less is made up for in the next ticks.
#pragma once

#include <cstdint>

#include "tern/clock.h"

namespace tern {

class DirtyQuota {
 public:
  static constexpr Nanoseconds kTick = Milliseconds(20);

  /// Bytes/s; 0: no limit.
  void set_limit(uint64_t bytes_per_s) noexcept;
  uint64_t limit() const noexcept { return limit_; }

  /// A tick is over, which took `tick`, and `bytes` were dirtied in it. Returns for how much of the
  /// next one the vCPU may run: kTick for all of it, 0 for nothing.
  Nanoseconds next(uint64_t bytes, Nanoseconds tick) noexcept;

 private:
  uint64_t limit_ = 0;
  double debt_ = 0;   // bytes dirtied more than allowed; negative: less
  double speed_ = 0;  // bytes per ns of running; 0: not known
  Nanoseconds run_ = kTick;
};

}  // namespace tern
