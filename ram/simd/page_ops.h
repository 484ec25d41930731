// SPDX-License-Identifier: Apache-2.0
//
// PageOps: work on the bytes of a page, once per instruction set. Chosen at run time, kept in the
// object that uses it, called per page or batch. Knows no pages of any guest, only bytes.
//
// The instruction set is a function attribute, not a compiler flag of the file: a flag would also
// reach inline code of the standard library, of which the linker keeps one copy for the whole
// program, perhaps the one this CPU cannot run.
#pragma once

#include <cstddef>
#include <span>

#include "ram/simd/cpu_features.h"

/// For functions that read memory while a guest writes it.
#if defined(__clang__)
#define TERN_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define TERN_RACY_READS __attribute__((no_sanitize_thread))
#endif

namespace tern {

struct PageOps {
  const char* name;      ///< "generic", "sse2", "avx2", "avx512": shown in statistics
  CpuFeatures features;  ///< all of these are needed

  /// Whether all bytes are 0; true for none. Any alignment, any length; reads nothing outside.
  /// Stops at the first piece that is not zero. The bytes may be written meanwhile by others (a
  /// running guest): then the answer is that of some mixture of old and new bytes, so it may be
  /// acted on only if a dirty tracker reports the page again. (Under ThreadSanitizer these
  /// functions are exempt for that reason.)
  bool (*is_zero)(const std::byte* data, size_t bytes) noexcept;
};

/// All variants this build has, the preferred ones first; the last is "generic", which runs
/// everywhere.
std::span<const PageOps> page_ops_list() noexcept;

/// Pure: the first entry of `list` whose needs `features` meets. `list` must end with one that
/// needs nothing.
const PageOps& select_page_ops(std::span<const PageOps> list, CpuFeatures features) noexcept;

/// The best for this processor.
const PageOps& best_page_ops() noexcept;

// For the list only. What they promise is PageOps::is_zero.
bool is_zero_generic(const std::byte* data, size_t bytes) noexcept;
#if defined(__x86_64__)
bool is_zero_sse2(const std::byte* data, size_t bytes) noexcept;
bool is_zero_avx2(const std::byte* data, size_t bytes) noexcept;
bool is_zero_avx512(const std::byte* data, size_t bytes) noexcept;
#endif

}  // namespace tern
