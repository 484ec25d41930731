// SPDX-License-Identifier: Apache-2.0
//
// An amount and the time that it took, as a rate.
#pragma once

#include <cstdint>

#include "tern/clock.h"

namespace tern {

/// 0 where no time passed: nothing is known then.
constexpr uint64_t per_second(uint64_t amount, Nanoseconds time) noexcept {
  if (time.count() <= 0) return 0;
  return static_cast<uint64_t>(static_cast<double>(amount) * 1e9 /
                               static_cast<double>(time.count()));
}

}  // namespace tern
