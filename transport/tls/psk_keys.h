// SPDX-License-Identifier: Apache-2.0
//
// The file of keys shared beforehand: lines `username:hexkey`, as psktool writes them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"

namespace tern::transport::tls {

using PskKeys = std::map<std::string, std::vector<uint8_t>, std::less<>>;

inline constexpr size_t kMaxPskFileBytes = 1u << 20;
inline constexpr size_t kMaxPskNameBytes = 127;  // OpenSSL's identity
inline constexpr size_t kMaxPskKeyBytes = 64;

/// Empty lines and those that begin with '#' are skipped. Errors: invalid_argument, naming the
/// line.
Result<PskKeys> parse_psk_keys(std::string_view text) noexcept;
/// Errors: parse_psk_keys', and that the file cannot be read.
Result<PskKeys> read_psk_keys(const std::string& path) noexcept;

}  // namespace tern::transport::tls
