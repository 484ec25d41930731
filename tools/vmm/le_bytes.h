// SPDX-License-Identifier: Apache-2.0
//
// Integers in the guest's byte order (little-endian) in byte spans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tern::vmm {

template <typename T>
constexpr T load_le(std::span<const std::byte> from, size_t at = 0) noexcept {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | (static_cast<T>(from[at + i]) << (8 * i)));
  }
  return value;
}

template <typename T>
constexpr void store_le(std::span<std::byte> into, size_t at, T value) noexcept {
  for (size_t i = 0; i < sizeof(T); ++i) {
    into[at + i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
  }
}

}  // namespace tern::vmm
