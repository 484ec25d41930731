// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "tools/benchmark/memory.h"
#include "tools/benchmark/raw_limit.h"

namespace tern::bench {
namespace {

using Loop = uint64_t (*)(const std::byte* from, uint64_t bytes);

uint64_t read_words(const std::byte* from, uint64_t bytes) {
  const auto* word = reinterpret_cast<const uint64_t*>(from);
  std::array<uint64_t, 4> sum{};
  for (uint64_t i = 0; i < bytes / 8; i += 4) {
    for (uint64_t j = 0; j < 4; ++j) sum[j] |= word[i + j];
  }
  return sum[0] | sum[1] | sum[2] | sum[3];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) uint64_t read_avx2(const std::byte* from, uint64_t bytes) {
  const auto* vector = reinterpret_cast<const __m256i*>(from);
  __m256i a = _mm256_setzero_si256();
  __m256i b = a;
  for (uint64_t i = 0; i < bytes / 32; i += 4) {
    a = _mm256_or_si256(
        a, _mm256_or_si256(_mm256_load_si256(vector + i), _mm256_load_si256(vector + i + 1)));
    b = _mm256_or_si256(
        b, _mm256_or_si256(_mm256_load_si256(vector + i + 2), _mm256_load_si256(vector + i + 3)));
  }
  return _mm256_testz_si256(_mm256_or_si256(a, b), _mm256_or_si256(a, b)) != 0 ? 0 : 1;
}

__attribute__((target("avx512f"))) uint64_t read_avx512(const std::byte* from, uint64_t bytes) {
  const auto* vector = reinterpret_cast<const __m512i*>(from);
  __m512i a = _mm512_setzero_si512();
  __m512i b = a;
  for (uint64_t i = 0; i < bytes / 64; i += 4) {
    a = _mm512_or_si512(
        a, _mm512_or_si512(_mm512_load_si512(vector + i), _mm512_load_si512(vector + i + 1)));
    b = _mm512_or_si512(
        b, _mm512_or_si512(_mm512_load_si512(vector + i + 2), _mm512_load_si512(vector + i + 3)));
  }
  a = _mm512_or_si512(a, b);
  return _mm512_test_epi64_mask(a, a);
}

/// Reads four places of the range in turn, a page each: what a core's prefetchers like best
/// differs.
template <Loop loop>
uint64_t four_streams(const std::byte* from, uint64_t bytes) {
  constexpr uint64_t kStep = 4096;
  const uint64_t quarter = bytes / 4 / kStep * kStep;
  uint64_t sum = 0;
  for (uint64_t at = 0; at < quarter; at += kStep) {
    for (uint64_t i = 0; i < 4; ++i) sum |= loop(from + i * quarter + at, kStep);
  }
  return sum | loop(from + 4 * quarter, bytes - 4 * quarter);
}
#endif

struct NamedLoop {
  const char* name;
  Loop loop;
};

std::vector<NamedLoop> loops() {
  std::vector<NamedLoop> there = {{"words", read_words}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    there.push_back({"avx2", read_avx2});
    there.push_back({"avx2, 4 streams", four_streams<read_avx2>});
  }
  if (__builtin_cpu_supports("avx512f")) {
    there.push_back({"avx512", read_avx512});
    there.push_back({"avx512, 4 streams", four_streams<read_avx512>});
  }
#endif
  return there;
}

double one_pass(const Mapping& memory, Loop loop, unsigned cores) {
  std::atomic<uint64_t> sum{0};  // somebody wants the result, so that no compiler leaves it out
  const uint64_t pages = memory.bytes / 4096;
  const double start = now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < cores; ++i) {
    threads.emplace_back([&, i] {
      const uint64_t from = pages * i / cores;
      const uint64_t to = pages * (i + 1) / cores;
      sum |= loop(memory.start + from * 4096, (to - from) * 4096);
    });
  }
  for (auto& thread : threads) thread.join();
  return now() - start;
}

}  // namespace

ReadResult read_memory(const std::string& file, uint64_t bytes) {
  const Mapping memory = map_file(file, bytes);
  populate(memory);
  ReadResult best;
  best.threads = std::max(1U, std::thread::hardware_concurrency());
  for (int pass = 0; pass < 2; ++pass) {
    for (const NamedLoop& candidate : loops()) {
      const double seconds = one_pass(memory, candidate.loop, best.threads);
      if (best.loop.empty() || seconds < best.seconds) {
        best.seconds = seconds;
        best.loop = candidate.name;
      }
    }
  }
  return best;
}

}  // namespace tern::bench
