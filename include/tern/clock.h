// SPDX-License-Identifier: Apache-2.0
//
// The clock that a migration reads. An embedder seldom needs its own; tests pass a manual one so
// that policies and limits can be checked without waiting.
#pragma once

#include <chrono>
#include <cstdint>

#include "tern/version.h"

namespace tern {

/// Monotonic time in nanoseconds.
using Nanoseconds = std::chrono::nanoseconds;
using Milliseconds = std::chrono::milliseconds;

/// Thread rules: every function may be called from any thread.
class TERN_API Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic; the origin is unspecified.
  virtual Nanoseconds now() const noexcept = 0;
  /// Time since the Unix epoch, for event time stamps.
  virtual Nanoseconds wall() const noexcept = 0;
};

/// CLOCK_MONOTONIC and CLOCK_REALTIME of the host. Lives as long as the process, has no state.
TERN_API Clock& system_clock() noexcept;

}  // namespace tern
