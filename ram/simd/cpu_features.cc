// SPDX-License-Identifier: Apache-2.0

#include "ram/simd/cpu_features.h"

namespace tern {

CpuFeatures cpu_features() noexcept {
  CpuFeatures features = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse2")) features |= kCpuSse2;
  if (__builtin_cpu_supports("avx2")) features |= kCpuAvx2;
  if (__builtin_cpu_supports("avx512f")) features |= kCpuAvx512f;
#endif
  return features;
}

}  // namespace tern
