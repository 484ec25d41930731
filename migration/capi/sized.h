// SPDX-License-Identifier: Apache-2.0
//
// Structs that begin with their size, as they cross the C ABI: the one place that compares what the
// caller was compiled with and what tern knows.
//
// Older callers have shorter structs: what they lack is 0, the default of every member. Newer ones
// have longer structs: what tern does not know must be 0, because nobody would do what it asks for.
// That works only if no member is ever put into what was a hole before, so there are no holes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tern/result.h"

namespace tern::capi {

/// No struct of the API comes near: more is a size that was never set.
inline constexpr size_t kMaxStructBytes = 4096;
/// The same limit as GuestMemory's for RAM blocks.
inline constexpr size_t kMaxElements = 65536;

namespace detail {
template <typename T>
constexpr void check_layout() noexcept {
  static_assert(std::is_standard_layout_v<T> && std::is_trivially_copyable_v<T>);
  static_assert(offsetof(T, size) == 0);
  static_assert(std::has_unique_object_representations_v<T>, "a hole: a later member would hide");
  static_assert(sizeof(T) % sizeof(size_t) == 0 && sizeof(T) <= kMaxStructBytes);
}
Result<void> read(const void* given, void* known, size_t known_bytes,
                  std::string_view what) noexcept;
Result<void> write(const void* known, size_t known_bytes, void* given,
                   std::string_view what) noexcept;
Result<size_t> size_of(const void* given, std::string_view what) noexcept;
}  // namespace detail

/// The struct as this tern knows it. Errors: invalid_argument (NULL, a size that cannot be),
/// unsupported (it asks for what this tern does not know).
template <typename T>
Result<T> read_sized(const T* given, std::string_view what) noexcept {
  detail::check_layout<T>();
  T known{};
  TERN_TRY(detail::read(given, &known, sizeof(T), what));
  known.size = sizeof(T);
  return known;
}

/// Fills the caller's struct as far as it goes; what tern does not know becomes 0. Errors:
/// invalid_argument.
template <typename T>
Result<void> write_sized(const T& known, T* given, std::string_view what) noexcept {
  detail::check_layout<T>();
  return detail::write(&known, sizeof(T), given, what);
}

/// An array, whose elements all have the size of the first. Errors: as read_sized; elements of
/// different sizes; more than kMaxElements.
template <typename T>
Result<std::vector<T>> read_array(const T* first, size_t count, std::string_view what) noexcept {
  std::vector<T> known;
  if (count == 0) return known;
  const size_t stride = TERN_TRY(detail::size_of(first, what));
  if (count > kMaxElements) {
    return Error(ErrorCode::invalid_argument,
                 std::string(what) + ": more than " + std::to_string(kMaxElements) + " elements");
  }
  known.reserve(count);
  const auto* at = reinterpret_cast<const std::byte*>(first);
  for (size_t i = 0; i < count; ++i, at += stride) {
    const std::string where = std::string(what) + "[" + std::to_string(i) + "]";
    if (TERN_TRY(detail::size_of(at, where)) != stride) {
      return Error(ErrorCode::invalid_argument, where + ".size differs from that of the first");
    }
    known.push_back(TERN_TRY(read_sized(reinterpret_cast<const T*>(at), where)));
  }
  return known;
}

}  // namespace tern::capi
