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
// the instructions that lower the clock. Comparing bytes by 512 bits needs more than AVX-512F, and
// is bound by memory as it is.
constexpr std::array kList {
#if defined(__x86_64__)
  PageOps{.name = "avx512",
          .features = kCpuAvx512f | kCpuAvx2,
          .is_zero = is_zero_avx512,
          .find_differences = find_differences_avx2},
      PageOps{.name = "avx2",
              .features = kCpuAvx2,
              .is_zero = is_zero_avx2,
              .find_differences = find_differences_avx2},
      PageOps{.name = "sse2",
              .features = kCpuSse2,
              .is_zero = is_zero_sse2,
              .find_differences = find_differences_sse2},
#endif
      PageOps{.name = "generic",
              .features = 0,
              .is_zero = is_zero_generic,
              .find_differences = find_differences_generic},
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

TERN_RACY_READS void find_differences_generic(const std::byte* old, const std::byte* now,
                                              PageDifferences& found) noexcept {
  constexpr size_t kWords = PageDifferences::kGroupBytes / sizeof(uint64_t);
  found.groups = 0;
  for (size_t g = 0; g < PageDifferences::kGroups; ++g) {
    const size_t at = g * PageDifferences::kGroupBytes;
    uint64_t before[kWords];
    uint64_t here[kWords];
    __builtin_memcpy(before, old + at, sizeof before);
    __builtin_memcpy(here, now + at, sizeof here);
    uint64_t any = 0;
    for (size_t i = 0; i < kWords; ++i) any |= before[i] ^ here[i];
    if (any == 0) continue;
    __builtin_memcpy(found.now.data() + at, here, sizeof here);
    uint64_t bits = 0;
    for (size_t i = 0; i < PageDifferences::kGroupBytes; ++i) {
      bits |= uint64_t{found.now[at + i] != old[at + i]} << i;
    }
    found.bytes[g] = bits;
    found.groups |= uint64_t{1} << g;
  }
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
