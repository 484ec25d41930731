// SPDX-License-Identifier: Apache-2.0
//
// ManualClock: time passes when the test says so.
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

}  // namespace tern::test
