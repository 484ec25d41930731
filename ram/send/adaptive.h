// SPDX-License-Identifier: Apache-2.0
//
// Whether compressing brings pages to the other side sooner than sending them as they are: tried
// from time to time, then by what was measured. Pure arithmetic; who uses it has the clock.
#pragma once

#include <cstdint>

#include "tern/clock.h"

namespace tern {

/// One thread.
class AdaptiveCompression {
 public:
  /// What to do with the next batch.
  bool compress() const noexcept;
  /// What was done took `cost` for `bytes` of guest memory: the compressor's time and that of the
  /// link.
  void report(bool compressed, uint64_t bytes, Nanoseconds cost) noexcept;

 private:
  // The loser is tried for kTrial batches in kPeriod: often enough to notice that content or link
  // changed within a fraction of a second, seldom enough to cost little while it did not.
  static constexpr uint32_t kTrial = 2;
  static constexpr uint32_t kPeriod = 64;
  struct Way {
    double ns_per_byte = 0;
    bool known = false;
  };
  Way ways_[2];
  uint32_t batch_ = 0;
};

}  // namespace tern
