// SPDX-License-Identifier: Apache-2.0
//
// When a guest is held back so that it dirties less, and by how much: QEMU's formulas, pure. The
// clock, the counting and the holding are elsewhere.
//
// A period is the time between two looks at the dirty pages. It is bad if the guest dirtied more
// than throttle-trigger-threshold percent of what was sent meanwhile. Every second bad period makes
// the throttle stronger. That is QEMU's rule; what differs is how long a period is. QEMU's is a
// pass over RAM, longer than a second, and minutes where the guest is large and the link slow;
// tern's is a quarter of a second. The dirty set shrinks by what is sent less what is dirtied, so
// every percent helps more the more there are already: the way to a throttle that is strong enough
// costs the guest most, and the sooner it is there the sooner it is over.
#pragma once

#include <cstdint>
#include <optional>

#include "tern/clock.h"

namespace tern {

/// The parameters of auto-converge, in percent.
struct ThrottleRules {
  uint32_t trigger_threshold = 50;  ///< 1..100
  uint32_t initial = 20;            ///< 1..99
  uint32_t increment = 10;          ///< 1..99
  uint32_t max = 99;                ///< initial..99
  bool tailslow = false;
};

/// What happened in one period, bytes.
struct DirtyPeriod {
  uint64_t dirtied = 0;
  uint64_t sent = 0;
};

/// Counts the bad periods.
class ConvergenceTrigger {
 public:
  static constexpr Nanoseconds kPeriod = Milliseconds(250);
  /// QEMU's: more than this.
  static constexpr Nanoseconds kQemuPeriod = Milliseconds(1000);

  /// true with every second bad period. Like QEMU's, it does not forget the first because of good
  /// ones between.
  bool judge(const DirtyPeriod& period, uint32_t threshold_percent) noexcept;

 private:
  uint32_t strikes_ = 0;
};

/// The percentage that follows `percent` (0: not throttled), 1..99.
uint32_t next_throttle(uint32_t percent, const DirtyPeriod& period,
                       const ThrottleRules& rules) noexcept;

/// How a percentage is carried out: a vCPU runs, then is held.
struct ThrottleSlices {
  Nanoseconds run{0};
  Nanoseconds hold{0};
};
/// QEMU runs a vCPU for 10 ms and holds it for up to a second, which is what guests complain about
/// (soft lockups, clock watchdogs). Here no hold is longer than 50 ms: above 83% the running gets
/// shorter instead. `percent`: 1..99.
ThrottleSlices throttle_slices(uint32_t percent) noexcept;

}  // namespace tern
