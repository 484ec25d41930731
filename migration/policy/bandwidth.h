// SPDX-License-Identifier: Apache-2.0
//
// How fast the rest would go: an estimate of the bandwidth at switchover. Pure: fed with what was
// sent and how long that took, without a clock of its own.
//
// It differs from QEMU's (bytes of the last 100 ms window) in three ways: time spent waiting for
// our own rate limit does not count, because the switchover is not limited; stretches that were
// mostly zero pages do not count, because what is left at the end is not zero pages; and it is an
// average over about a second of sending, so that one stall or one burst into a socket buffer does
// not decide.
#pragma once

#include <cstdint>

#include "tern/clock.h"

namespace tern {

class BandwidthEstimator {
 public:
  /// `bytes` of `pages` (of which `normal_pages` with data) took `busy` to scan and send.
  void add(uint64_t bytes, uint64_t pages, uint64_t normal_pages, Nanoseconds busy) noexcept;
  /// Bytes/s; 0 as long as nothing is known (less than 1 ms or 256 KiB of sending).
  uint64_t bytes_per_s() const noexcept;

 private:
  double bytes_ = 0;  // both decay with the time constant
  double busy_ns_ = 0;
};

}  // namespace tern
