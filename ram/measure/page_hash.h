// SPDX-License-Identifier: Apache-2.0
//
// What a page holds, as one number: XXH3 with 64 bits. Two contents that differ are taken for the
// same once in 2^64 looks. Not against an adversary: a guest that forges collisions only makes its
// own dirty rate look smaller.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern {

/// Of the kTargetPageBytes from `page` on, which may change meanwhile.
uint64_t hash_page(const std::byte* page) noexcept;

}  // namespace tern
