// SPDX-License-Identifier: Apache-2.0
//
// How fast the rest would go: estimates of the bandwidth at switchover. Pure: fed with what was
// sent and how long that took, without clocks of their own.
#pragma once

#include <cstdint>

#include "tern/clock.h"

namespace tern {

/// tern's estimate, of guest RAM per second: what compression or XBZRLE saves on the wire makes it
/// higher, as it makes the rest go faster. It differs from QEMU's in four ways: time spent waiting
/// for our own rate limit does not count, because the switchover is not limited; neither does the
/// time that zero pages take, because what is left at the end is mostly not zero pages (what one
/// costs is learnt from stretches that are nearly all zeros); it is an average over about a second
/// of sending, so that one stall or one burst into a socket buffer does not decide; and the sender
/// tells when the kernel's queue had drained, not when it had swallowed the bytes.
class BandwidthEstimator {
 public:
  /// A stretch of sending: pages with data, pages of zeros, and how long it took to look at them
  /// and to send them.
  struct Stretch {
    uint64_t data_pages = 0;
    uint64_t zero_pages = 0;
    Nanoseconds busy{0};
  };
  void add(const Stretch& stretch) noexcept;
  /// Bytes/s; 0 as long as nothing is known (less than 1 ms or 256 KiB of sending).
  uint64_t bytes_per_s() const noexcept;

 private:
  double bytes_ = 0;  // both decay with the time constant
  double busy_ns_ = 0;
  double zero_page_ns_ = 0;
};

/// QEMU's: the bytes of the last window of at least 100 ms, on the wire, waits included.
class WindowBandwidth {
 public:
  void look(uint64_t total_bytes, Nanoseconds now) noexcept;
  /// Bytes/s; 0 during the first window.
  uint64_t bytes_per_s() const noexcept { return bytes_per_s_; }

 private:
  bool begun_ = false;
  Nanoseconds since_{0};
  uint64_t bytes_ = 0;
  uint64_t bytes_per_s_ = 0;
};

}  // namespace tern
