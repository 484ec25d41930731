// SPDX-License-Identifier: Apache-2.0
//
// What guest RAM holds in a benchmark: five kinds, each the same bytes in every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tern::bench {

inline constexpr uint64_t kPageBytes = 4096;

enum class PageKind : uint8_t { zero, text, pointers, random, hole };
inline constexpr size_t kPageKinds = 5;
std::string_view to_string(PageKind kind);

/// One PageKind for each page; empty if there is no such kind of content.
std::vector<PageKind> lay_out(std::string_view content, uint64_t pages);

/// Writes page `index` of the layout; a hole is left alone. The bytes depend on kind and index
/// only.
void write_page(PageKind kind, uint64_t index, std::byte* page);

}  // namespace tern::bench
