// SPDX-License-Identifier: Apache-2.0
//
// The words of a command line as values: switches, integers with size suffixes, numbers, and
// values by their look where nobody says what is wanted; and which name was meant by a wrong one.
// Knows no schema.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/json_fields.h"

namespace tern::tool {

/// on, off, true, false.
std::optional<bool> parse_switch(std::string_view text) noexcept;

/// Decimal or 0x…, with a sign; or a size: decimal, perhaps with a fraction, and K, M, G, T or P
/// (powers of 1024; KiB, MiB … mean the same) if that makes a whole number. An integer of JSON.
std::optional<Json> parse_integer(std::string_view text) noexcept;

/// What parse_integer() takes, or a decimal fraction.
std::optional<Json> parse_number(std::string_view text) noexcept;

/// JSON whose nesting is bounded.
std::optional<Json> parse_json(std::string_view text) noexcept;

/// true, false, decimal integers, what begins with [ or { and is JSON; everything else is a string.
Json value_by_look(std::string_view text) noexcept;

/// The candidate that `word` is most likely a slip of; none if all are too far.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

/// "; did you mean 'x'?" and, if they are few, "possible: a, b, c". Begins with a separator.
std::string advice(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tern::tool
