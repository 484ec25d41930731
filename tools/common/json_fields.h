// SPDX-License-Identifier: Apache-2.0
//
// Reading fields out of what a server sent: a field that is missing or of another type is a
// missing field, never an exception. Knows no command.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tern::tool {

using Json = nlohmann::json;

/// The field, or null if `object` is no object or has no such field.
const Json& field(const Json& object, std::string_view name) noexcept;

/// The text of a string field, `otherwise` if there is none.
std::string text_field(const Json& object, std::string_view name, std::string_view otherwise = {});

std::optional<double> number_field(const Json& object, std::string_view name) noexcept;

/// 0 if there is none.
double number_or_0(const Json& object, std::string_view name) noexcept;

bool flag_field(const Json& object, std::string_view name) noexcept;

/// One line of JSON; bytes that are no UTF-8 are replaced.
std::string json_line(const Json& value);
/// Indented by two.
std::string json_indented(const Json& value);

/// `text` without what a terminal would take for a command: control characters become \xNN, but
/// for line ends and tabs if `lines` (a CR before a line end is left out then).
std::string printable(std::string_view text, bool lines = false);

}  // namespace tern::tool
