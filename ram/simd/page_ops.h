// SPDX-License-Identifier: Apache-2.0
//
// PageOps: work on the bytes of a page, once per instruction set. Chosen at run time, kept in the
// object that uses it, called per page or batch. Knows no pages of any guest, only bytes.
//
// The instruction set is a function attribute, not a compiler flag of the file: a flag would also
// reach inline code of the standard library, of which the linker keeps one copy for the whole
// program, perhaps the one this CPU cannot run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ram/simd/cpu_features.h"
#include "tern/ram_block.h"

/// For functions that read memory while a guest writes it.
#if defined(__clang__)
#define TERN_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define TERN_RACY_READS __attribute__((no_sanitize_thread))
#endif

namespace tern {

/// Where a page differs from what it held before, in groups of 64 bytes.
struct PageDifferences {
  static constexpr size_t kGroupBytes = 64;
  static constexpr size_t kGroups = kTargetPageBytes / kGroupBytes;
  /// Whoever takes short runs out of `now` may copy this many bytes at a time.
  static constexpr size_t kSlack = 16;

  uint64_t groups = 0;  ///< bit g: group g differs; below is valid for these groups only
  std::array<uint64_t, kGroups> bytes{};  ///< bit i of [g]: byte i of the group differs
  alignas(64) std::array<std::byte, kTargetPageBytes + kSlack> now{};  ///< as it was read
};
static_assert(PageDifferences::kGroups == 64, "a bit for each group in one word");

struct PageOps {
  const char* name;      ///< "generic", "sse2", "avx2", "avx512": shown in statistics
  CpuFeatures features;  ///< all of these are needed

  /// Whether all bytes are 0; true for none. Any alignment, any length; reads nothing outside.
  /// Stops at the first piece that is not zero. The bytes may be written meanwhile by others (a
  /// running guest): then the answer is that of some mixture of old and new bytes, so it may be
  /// acted on only if a dirty tracker reports the page again. (Under ThreadSanitizer these
  /// functions are exempt for that reason.)
  bool (*is_zero)(const std::byte* data, size_t bytes) noexcept;

  /// Compares the page at `now` with the one at `old`. Any alignment. Every byte of `now`, which
  /// may be written meanwhile by others, is read once: what is compared is what is stored.
  void (*find_differences)(const std::byte* old, const std::byte* now,
                           PageDifferences& found) noexcept;
};

/// All variants this build has, the preferred ones first; the last is "generic", which runs
/// everywhere.
std::span<const PageOps> page_ops_list() noexcept;

/// Pure: the first entry of `list` whose needs `features` meets. `list` must end with one that
/// needs nothing.
const PageOps& select_page_ops(std::span<const PageOps> list, CpuFeatures features) noexcept;

/// The best for this processor.
const PageOps& best_page_ops() noexcept;

// For the list only. What they promise stands in PageOps.
bool is_zero_generic(const std::byte* data, size_t bytes) noexcept;
void find_differences_generic(const std::byte* old, const std::byte* now,
                              PageDifferences& found) noexcept;
#if defined(__x86_64__)
bool is_zero_sse2(const std::byte* data, size_t bytes) noexcept;
bool is_zero_avx2(const std::byte* data, size_t bytes) noexcept;
bool is_zero_avx512(const std::byte* data, size_t bytes) noexcept;
void find_differences_sse2(const std::byte* old, const std::byte* now,
                           PageDifferences& found) noexcept;
void find_differences_avx2(const std::byte* old, const std::byte* now,
                           PageDifferences& found) noexcept;
#endif

}  // namespace tern
