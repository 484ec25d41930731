// SPDX-License-Identifier: Apache-2.0
//
// The variant for every processor, the list of variants, and the choice among them.

#include <array>
#include <cstdint>
#include <cstring>

#include "ram/simd/page_ops.h"

namespace tern {
namespace {

// Most likely to win first. A 512-bit variant pays: the loop is bound by loads, and it uses few of
// the instructions that lower the clock.
constexpr std::array kList {
#if defined(__x86_64__)
  PageOps{.name = "avx512", .features = kCpuAvx512f, .is_zero = is_zero_avx512},
      PageOps{.name = "avx2", .features = kCpuAvx2, .is_zero = is_zero_avx2},
      PageOps{.name = "sse2", .features = kCpuSse2, .is_zero = is_zero_sse2},
#endif
      PageOps{.name = "generic", .features = 0, .is_zero = is_zero_generic},
};
static_assert(kList.back().features == 0, "the last variant runs everywhere");

}  // namespace

TERN_RACY_READS bool is_zero_generic(const std::byte* data, size_t bytes) noexcept {
  // memcpy of a constant size is one load, whatever the alignment.
  constexpr size_t kStep = 4 * sizeof(uint64_t);
  while (bytes >= kStep) {
    uint64_t word[4];
    __builtin_memcpy(word, data, sizeof word);
    if ((word[0] | word[1] | word[2] | word[3]) != 0) return false;
    data += kStep;
    bytes -= kStep;
  }
  std::byte any{0};
  for (size_t i = 0; i < bytes; ++i) any |= data[i];
  return any == std::byte{0};
}

std::span<const PageOps> page_ops_list() noexcept { return kList; }

const PageOps& select_page_ops(std::span<const PageOps> list, CpuFeatures features) noexcept {
  for (const PageOps& ops : list) {
    if ((ops.features & ~features) == 0) return ops;
  }
  return list.back();
}

const PageOps& best_page_ops() noexcept { return select_page_ops(kList, cpu_features()); }

}  // namespace tern
