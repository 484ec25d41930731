// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/qapi_type.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace tern::qmp {
namespace {

using Result = tern::Result<void>;

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

Error wrong_type(const std::string& path, std::string_view expected) noexcept {
  return bad("Invalid parameter type for '" + path + "', expected: " + std::string(expected));
}

Result check_typed(const Json& value, const QapiType& type, const std::string& path,
                   std::string_view last_name) noexcept;

Result check_unsigned(const Json& value, const std::string& path, unsigned bits) noexcept {
  // Anything that is not an integer is told in the widest type; so is a negative number, which QEMU
  // lets wrap.
  if (!value.is_number_integer()) return bad("Parameter '" + path + "' expects uint64");
  const std::string narrow = bits == 64 ? "uint64" : "uint" + std::to_string(bits) + "_t";
  const uint64_t max = std::numeric_limits<uint64_t>::max() >> (64 - bits);
  const bool negative = !value.is_number_unsigned() && value.get<int64_t>() < 0;
  if (negative || value.get<uint64_t>() > max) {
    return bad("Parameter '" + path + "' expects " + narrow);
  }
  return {};
}

Result check_integer(const Json& value, const std::string& path) noexcept {
  const bool fits =
      value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) return wrong_type(path, "integer");
  return {};
}

Result check_string(const Json& value, const std::string& path) noexcept {
  if (!value.is_string()) return wrong_type(path, "string");
  if (value.get_ref<const std::string&>().find('\0') != std::string::npos) {
    return bad("Parameter '" + path + "' must not contain a NUL character");
  }
  return {};
}

Result check_word(const Json& value, const QapiType& type, const std::string& path,
                  std::string_view last_name) noexcept {
  if (!value.is_string()) return wrong_type(path, "string");
  const auto& word = value.get_ref<const std::string&>();
  if (std::find(type.words.begin(), type.words.end(), word) != type.words.end()) return {};
  constexpr size_t kShown = 256;
  return bad("Parameter '" + std::string(last_name) + "' does not accept value '" +
             word.substr(0, kShown) + "'");
}

Result check_array(const Json& value, const QapiType& type, const std::string& path) noexcept {
  if (!value.is_array()) return wrong_type(path, "array");
  for (size_t i = 0; i < value.size(); ++i) {
    // QEMU knows no name for an element; the word in its message is literally null.
    TERN_TRY(check_typed(value[i], *type.element, path + "[" + std::to_string(i) + "]", "null"));
  }
  return {};
}

// `taken` gathers the names that some declaration accounts for.
Result check_members(const Json& value, const QapiType& type, const std::string& prefix,
                     std::vector<std::string_view>& taken) noexcept {
  for (const QapiMember& member : type.members) {
    taken.push_back(member.name);
    const std::string path = prefix + std::string(member.name);
    const auto found = value.find(member.name);
    if (found == value.end()) {
      if (!member.optional) return bad("Parameter '" + path + "' is missing");
      continue;
    }
    TERN_TRY(check_typed(*found, *member.type, path, member.name));
  }
  if (type.kind != Kind::flat_union) return {};
  const auto& chosen = value.find(type.tag)->get_ref<const std::string&>();
  for (const QapiVariant& variant : type.variants) {
    if (variant.tag_value == chosen) return check_members(value, *variant.type, prefix, taken);
  }
  return {};
}

Result check_object(const Json& value, const QapiType& type, const std::string& path,
                    const std::string& prefix) noexcept {
  if (!value.is_object()) return wrong_type(path, "object");
  std::vector<std::string_view> taken;
  TERN_TRY(check_members(value, type, prefix, taken));
  for (const auto& [name, ignored] : value.items()) {
    if (std::find(taken.begin(), taken.end(), name) == taken.end()) {
      constexpr size_t kShown = 256;
      return bad("Parameter '" + prefix + name.substr(0, kShown) + "' is unexpected");
    }
  }
  return {};
}

Result check_typed(const Json& value, const QapiType& type, const std::string& path,
                   std::string_view last_name) noexcept {
  switch (type.kind) {
    case Kind::string:
      return check_string(value, path);
    case Kind::boolean:
      if (!value.is_boolean()) return wrong_type(path, "boolean");
      return {};
    case Kind::integer:
      return check_integer(value, path);
    case Kind::number:
      if (!value.is_number()) return wrong_type(path, "number");
      return {};
    case Kind::string_or_null:
      if (value.is_null()) return {};
      if (!value.is_string()) return wrong_type(path, "StrOrNull");
      return check_string(value, path);
    case Kind::uint8:
      return check_unsigned(value, path, 8);
    case Kind::uint16:
      return check_unsigned(value, path, 16);
    case Kind::uint32:
      return check_unsigned(value, path, 32);
    case Kind::uint64:
      return check_unsigned(value, path, 64);
    case Kind::enumeration:
      return check_word(value, type, path, last_name);
    case Kind::array:
      return check_array(value, type, path);
    case Kind::object:
    case Kind::flat_union:
      return check_object(value, type, path, path + ".");
  }
  return {};
}

}  // namespace

Result check_arguments(const Json& value, const QapiType& type) noexcept {
  return check_object(value, type, "arguments", "");
}

Result check_value(const Json& value, const QapiType& type) noexcept {
  return check_typed(value, type, "value", "value");
}

}  // namespace tern::qmp
