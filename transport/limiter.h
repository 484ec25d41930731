// SPDX-License-Identifier: Apache-2.0
//
// How fast may be sent: a token bucket that carries debt. Owns the arithmetic only; the caller has
// the clock and does the waiting, so that an urgent request can end it.
#pragma once

#include <cstdint>

#include "base/mutex.h"
#include "tern/clock.h"

namespace tern::transport {

/// What is sent too much is paid back later, so the long-run average is the rate, however big the
/// pieces. What is not sent is lost above one bucket, so a stall is not followed by a burst.
///
/// Thread rules: every function may be called from any thread; with several senders the rate is
/// that of all together.
class Limiter {
 public:
  /// A bucket holds what the rate gives in this time; the figure keeps bursts short against the
  /// queues of a switch and is long against the grain of a sleep.
  static constexpr Nanoseconds kBucketTime = std::chrono::milliseconds(5);
  /// …but at least a page with its header, for rates at which 5 ms are less than that.
  static constexpr uint64_t kMinBucketBytes = 4096 + 64;

  /// 0 = no limit.
  explicit Limiter(uint64_t bytes_per_s = 0) noexcept : rate_(bytes_per_s) {}

  /// Takes effect at the next charge(). Debt is kept, and paid at the new rate; with 0 it is
  /// forgiven.
  void set_rate(uint64_t bytes_per_s) noexcept;
  uint64_t rate() const noexcept;

  /// Books `bytes` as sent at `now` and returns how long to wait before sending more. With bytes =
  /// 0 it only asks: a sender that waits long asks again every 100 ms, to notice a changed rate.
  Nanoseconds charge(uint64_t bytes, Nanoseconds now) noexcept;

 private:
  // In billionths of a byte, where bytes/s times ns is exact: no rate is too small, no rounding
  // adds up.
  __extension__ using Wide = __int128;

  void refill(Nanoseconds now) noexcept TERN_REQUIRES(mutex_);

  mutable Mutex mutex_;
  uint64_t rate_ TERN_GUARDED_BY(mutex_);
  Wide level_ TERN_GUARDED_BY(mutex_) = 0;  // negative: debt
  Nanoseconds last_ TERN_GUARDED_BY(mutex_){0};
  bool started_ TERN_GUARDED_BY(mutex_) = false;
};

}  // namespace tern::transport
