// SPDX-License-Identifier: Apache-2.0
//
// The x86-64 variants: 16, 32 and 64 bytes at a time. All have the same shape: one vector first
// (most pages that are not zero show it at once), then four vectors per step, then single ones,
// then a last vector that overlaps the one before. On another architecture this file is empty.

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

}  // namespace tern

#endif
