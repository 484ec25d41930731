// SPDX-License-Identifier: Apache-2.0
//
// Clocks of tests: time passes when the test says so, or faster than it does.
#pragma once

#include <atomic>

#include "tern/clock.h"

namespace tern::test {

class ManualClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return Nanoseconds(now_.load()); }
  Nanoseconds wall() const noexcept override { return Nanoseconds(now_.load()); }
  void advance(Nanoseconds by) noexcept { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{1'000'000'000};  // not 0: a clock that forgot its start is found
};

/// The host's time, but faster: what takes seconds by design takes them in a fraction.
class FastClock final : public Clock {
 public:
  explicit FastClock(int times) noexcept : times_(times) {}
  Nanoseconds now() const noexcept override { return system_clock().now() * times_; }
  Nanoseconds wall() const noexcept override { return system_clock().wall(); }

 private:
  const int times_;
};

}  // namespace tern::test
