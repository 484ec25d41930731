// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/sized.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace tern::capi::detail {

Result<size_t> size_of(const void* given, std::string_view what) noexcept {
  if (given == nullptr) {
    return Error(ErrorCode::invalid_argument, std::string(what) + " is NULL");
  }
  size_t size = 0;
  std::memcpy(&size, given, sizeof(size));
  // A whole number of words: no version of a struct ends in the middle of a pointer.
  if (size < sizeof(size) || size > kMaxStructBytes || size % sizeof(size) != 0) {
    return Error(ErrorCode::invalid_argument, std::string(what) + ".size is " +
                                                  std::to_string(size) +
                                                  ": set it to the sizeof of the struct");
  }
  return size;
}

Result<void> read(const void* given, void* known, size_t known_bytes,
                  std::string_view what) noexcept {
  const size_t size = TERN_TRY(size_of(given, what));
  const auto* bytes = static_cast<const std::byte*>(given);
  const bool rest_is_zero =
      size <= known_bytes ||
      std::all_of(bytes + known_bytes, bytes + size, [](std::byte b) { return b == std::byte{0}; });
  if (!rest_is_zero) {
    return Error(ErrorCode::unsupported,
                 std::string(what) + " has members set that this version of tern does not know");
  }
  std::memcpy(known, given, std::min(size, known_bytes));
  return {};
}

Result<void> write(const void* known, size_t known_bytes, void* given,
                   std::string_view what) noexcept {
  const size_t size = TERN_TRY(size_of(given, what));
  const size_t common = std::min(size, known_bytes);
  auto* bytes = static_cast<std::byte*>(given);
  std::memcpy(bytes + sizeof(size), static_cast<const std::byte*>(known) + sizeof(size),
              common - sizeof(size));
  std::fill(bytes + common, bytes + size, std::byte{0});
  return {};
}

}  // namespace tern::capi::detail
