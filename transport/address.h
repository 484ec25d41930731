// SPDX-License-Identifier: Apache-2.0
//
// What this room checks about an address before it uses it: the same rules for one that came as a
// URI and for one built member by member (QMP `channels`, embedders).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/address.h"
#include "tern/result.h"

namespace tern::transport {

constexpr size_t kMaxUriBytes = 128u
                                << 10;     ///< what the kernel allows for one argument of a command
constexpr size_t kMaxHostBytes = 255;      ///< a DNS name has 253
constexpr size_t kMaxServiceBytes = 32;    ///< as QEMU
constexpr size_t kMaxUnixPathBytes = 107;  ///< sun_path less its NUL
constexpr size_t kMaxFdNameBytes = 255;
constexpr size_t kMaxExecArgs = 1024;

/// Errors: invalid_argument naming the member that is wrong.
Result<void> validate(const Address& address) noexcept;

/// Digits only, whole text, at most `max`.
std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max) noexcept;

/// 'text' for an error message: quoted, control bytes escaped, cut at 200 bytes.
std::string quoted(std::string_view text) noexcept;

}  // namespace tern::transport
