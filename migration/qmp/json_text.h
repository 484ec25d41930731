// SPDX-License-Identifier: Apache-2.0
//
// JSON as QMP speaks it: strict when it reads (no duplicate keys, no invalid UTF-8, bounded), pure
// ASCII on one line when it writes. Knows nothing of QMP's requests.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tern/result.h"

namespace tern::qmp {

using Json = nlohmann::json;

/// Deepest nesting of arrays and objects.
inline constexpr size_t kMaxNesting = 1024;
/// Most values and keys in one text: what a parsed value costs in memory is many times its text.
inline constexpr size_t kMaxTokens = 2097152;

/// Parses exactly one JSON text. Errors: invalid_argument, worded as QMP's reply ("JSON parse
/// error, …").
Result<Json> parse_json(std::string_view text) noexcept;

/// One line, without an end of line; everything outside ASCII is escaped. Bytes that are not UTF-8
/// (a path in an error message) become U+FFFD.
std::string to_text(const Json& value) noexcept;

}  // namespace tern::qmp
