// SPDX-License-Identifier: Apache-2.0
//
// What the processor we run on can do, as a set. Knows nothing of what is computed with it.
#pragma once

#include <cstdint>

namespace tern {

/// Only what some variant in ram/simd needs.
enum CpuFeature : uint32_t {
  kCpuSse2 = 1 << 0,
  kCpuAvx2 = 1 << 1,
  kCpuAvx512f = 1 << 2,
};

/// A set of CpuFeature bits.
using CpuFeatures = uint32_t;

/// What processor and operating system (saving of the wide registers) both support. 0 on other
/// architectures.
CpuFeatures cpu_features() noexcept;

}  // namespace tern
