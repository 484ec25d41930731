// SPDX-License-Identifier: Apache-2.0
//
// The x86-64 variants: 16, 32 and 64 bytes at a time. All have the same shape: one vector first
// (most pages that are not zero show it at once), then four vectors per step, then single ones,
// then a last vector that overlaps the one before. Differences are looked for in two groups at a
// time: in most pages few groups differ. On another architecture this file is empty.

#include "ram/simd/page_ops.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace tern {
namespace {

const __m128i* as_sse(const std::byte* p) noexcept { return reinterpret_cast<const __m128i*>(p); }
const __m256i* as_avx(const std::byte* p) noexcept { return reinterpret_cast<const __m256i*>(p); }

}  // namespace

TERN_RACY_READS __attribute__((target("sse2"))) bool is_zero_sse2(const std::byte* data,
                                                                  size_t bytes) noexcept {
  constexpr size_t kWidth = 16;
  if (bytes < kWidth) return is_zero_generic(data, bytes);
  const __m128i zero = _mm_setzero_si128();
  const std::byte* const last = data + bytes - kWidth;
  if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(as_sse(data)), zero)) != 0xffff) {
    return false;
  }
  data += kWidth;
  for (; data + 3 * kWidth <= last; data += 4 * kWidth) {
    const __m128i a =
        _mm_or_si128(_mm_loadu_si128(as_sse(data)), _mm_loadu_si128(as_sse(data + kWidth)));
    const __m128i b = _mm_or_si128(_mm_loadu_si128(as_sse(data + 2 * kWidth)),
                                   _mm_loadu_si128(as_sse(data + 3 * kWidth)));
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(a, b), zero)) != 0xffff) return false;
  }
  for (; data < last; data += kWidth) {
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(as_sse(data)), zero)) != 0xffff) {
      return false;
    }
  }
  return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(as_sse(last)), zero)) == 0xffff;
}

TERN_RACY_READS __attribute__((target("avx2"))) bool is_zero_avx2(const std::byte* data,
                                                                  size_t bytes) noexcept {
  constexpr size_t kWidth = 32;
  if (bytes < kWidth) return is_zero_generic(data, bytes);
  const std::byte* const last = data + bytes - kWidth;
  const __m256i first = _mm256_loadu_si256(as_avx(data));
  if (_mm256_testz_si256(first, first) == 0) return false;
  data += kWidth;
  for (; data + 3 * kWidth <= last; data += 4 * kWidth) {
    const __m256i a = _mm256_or_si256(_mm256_loadu_si256(as_avx(data)),
                                      _mm256_loadu_si256(as_avx(data + kWidth)));
    const __m256i b = _mm256_or_si256(_mm256_loadu_si256(as_avx(data + 2 * kWidth)),
                                      _mm256_loadu_si256(as_avx(data + 3 * kWidth)));
    const __m256i all = _mm256_or_si256(a, b);
    if (_mm256_testz_si256(all, all) == 0) return false;
  }
  for (; data < last; data += kWidth) {
    const __m256i v = _mm256_loadu_si256(as_avx(data));
    if (_mm256_testz_si256(v, v) == 0) return false;
  }
  const __m256i v = _mm256_loadu_si256(as_avx(last));
  return _mm256_testz_si256(v, v) != 0;
}

TERN_RACY_READS __attribute__((target("avx512f"))) bool is_zero_avx512(const std::byte* data,
                                                                       size_t bytes) noexcept {
  constexpr size_t kWidth = 64;
  if (bytes < kWidth) return is_zero_generic(data, bytes);
  const std::byte* const last = data + bytes - kWidth;
  const __m512i first = _mm512_loadu_si512(data);
  if (_mm512_test_epi64_mask(first, first) != 0) return false;
  data += kWidth;
  for (; data + 3 * kWidth <= last; data += 4 * kWidth) {
    const __m512i a = _mm512_or_si512(_mm512_loadu_si512(data), _mm512_loadu_si512(data + kWidth));
    const __m512i b = _mm512_or_si512(_mm512_loadu_si512(data + 2 * kWidth),
                                      _mm512_loadu_si512(data + 3 * kWidth));
    const __m512i all = _mm512_or_si512(a, b);
    if (_mm512_test_epi64_mask(all, all) != 0) return false;
  }
  for (; data < last; data += kWidth) {
    const __m512i v = _mm512_loadu_si512(data);
    if (_mm512_test_epi64_mask(v, v) != 0) return false;
  }
  const __m512i v = _mm512_loadu_si512(last);
  return _mm512_test_epi64_mask(v, v) != 0 ? false : true;
}

TERN_RACY_READS __attribute__((target("sse2"))) void find_differences_sse2(
    const std::byte* old, const std::byte* now, PageDifferences& found) noexcept {
  constexpr size_t kWidth = 16;
  constexpr size_t kVectors = PageDifferences::kGroupBytes / kWidth;
  found.groups = 0;
  for (size_t g = 0; g < PageDifferences::kGroups; ++g) {
    const size_t at = g * PageDifferences::kGroupBytes;
    __m128i here[kVectors];
    __m128i equal[kVectors];
    for (size_t i = 0; i < kVectors; ++i) {
      here[i] = _mm_loadu_si128(as_sse(now + at + i * kWidth));
      equal[i] = _mm_cmpeq_epi8(here[i], _mm_loadu_si128(as_sse(old + at + i * kWidth)));
    }
    const __m128i all =
        _mm_and_si128(_mm_and_si128(equal[0], equal[1]), _mm_and_si128(equal[2], equal[3]));
    if (_mm_movemask_epi8(all) == 0xffff) continue;
    uint64_t same = 0;
    for (size_t i = 0; i < kVectors; ++i) {
      same |= uint64_t{static_cast<uint32_t>(_mm_movemask_epi8(equal[i]))} << (i * kWidth);
      _mm_store_si128(reinterpret_cast<__m128i*>(found.now.data() + at + i * kWidth), here[i]);
    }
    found.bytes[g] = ~same;
    found.groups |= uint64_t{1} << g;
  }
}

TERN_RACY_READS __attribute__((target("avx2"))) void find_differences_avx2(
    const std::byte* old, const std::byte* now, PageDifferences& found) noexcept {
  constexpr size_t kWidth = 32;
  constexpr size_t kVectors = 2 * PageDifferences::kGroupBytes / kWidth;
  found.groups = 0;
  for (size_t g = 0; g < PageDifferences::kGroups; g += 2) {
    const size_t at = g * PageDifferences::kGroupBytes;
    __m256i here[kVectors];
    __m256i equal[kVectors];
    for (size_t i = 0; i < kVectors; ++i) {
      here[i] = _mm256_loadu_si256(as_avx(now + at + i * kWidth));
      equal[i] = _mm256_cmpeq_epi8(here[i], _mm256_loadu_si256(as_avx(old + at + i * kWidth)));
    }
    const __m256i all = _mm256_and_si256(_mm256_and_si256(equal[0], equal[1]),
                                         _mm256_and_si256(equal[2], equal[3]));
    if (_mm256_movemask_epi8(all) == -1) continue;
    for (size_t half = 0; half < 2; ++half) {
      const uint64_t low = static_cast<uint32_t>(_mm256_movemask_epi8(equal[2 * half]));
      const uint64_t high = static_cast<uint32_t>(_mm256_movemask_epi8(equal[2 * half + 1]));
      const uint64_t same = low | high << 32;
      if (same == ~uint64_t{0}) continue;
      std::byte* const to = found.now.data() + at + half * PageDifferences::kGroupBytes;
      _mm256_store_si256(reinterpret_cast<__m256i*>(to), here[2 * half]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + kWidth), here[2 * half + 1]);
      found.bytes[g + half] = ~same;
      found.groups |= uint64_t{1} << (g + half);
    }
  }
}

}  // namespace tern

#endif
