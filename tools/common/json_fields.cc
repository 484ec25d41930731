// SPDX-License-Identifier: Apache-2.0
#include "tools/common/json_fields.h"

#include <array>
#include <cstdio>

namespace tern::tool {

const Json& field(const Json& object, std::string_view name) noexcept {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(std::string(name));
  return found == object.end() ? kNone : *found;
}

std::string text_field(const Json& object, std::string_view name, std::string_view otherwise) {
  const Json& value = field(object, name);
  return value.is_string() ? value.get<std::string>() : std::string(otherwise);
}

std::optional<double> number_field(const Json& object, std::string_view name) noexcept {
  const Json& value = field(object, name);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

double number_or_0(const Json& object, std::string_view name) noexcept {
  return number_field(object, name).value_or(0);
}

bool flag_field(const Json& object, std::string_view name) noexcept {
  const Json& value = field(object, name);
  return value.is_boolean() && value.get<bool>();
}

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_indented(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string printable(std::string_view text, bool lines) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    const bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;  // U+0080 to U+009F in UTF-8
    const bool kept = lines && (c == '\n' || c == '\t');
    if (lines && c == '\r' && next == '\n') continue;
    if ((c >= 0x20 && c != 0x7F && !c1) || kept) {
      out += text[i];
      continue;
    }
    std::array<char, 8> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\x%02x", c1 ? next : c);
    out += escaped.data();
    if (c1) ++i;
  }
  return out;
}

}  // namespace tern::tool
