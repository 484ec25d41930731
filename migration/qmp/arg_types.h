// SPDX-License-Identifier: Apache-2.0
//
// The types of command arguments as data, and the check of a JSON value against them with QMP's
// error texts. Knows JSON; knows nothing of commands and never changes a value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "migration/qmp/json_text.h"
#include "tern/result.h"

namespace tern::qmp {

enum class Kind {
  string,
  boolean,
  integer,  // signed, 64 bit
  uint8,
  uint16,
  uint32,
  uint64,       // also `size`
  enumeration,  // a string out of `words`
  array,        // of `element`
  object,       // `members` and nothing else
  flat_union,   // `members`, one of which is named `tag`, and those of the variant that it selects
};

struct ArgType;

struct ArgMember {
  std::string_view name;
  const ArgType* type;
  bool optional = false;
};

struct ArgVariant {
  std::string_view tag_value;
  const ArgType* type;  // an object or a flat_union; its members stand beside the tag
};

struct ArgType {
  Kind kind;
  std::string_view name = {};  // of enumerations, objects and unions
  std::span<const std::string_view> words = {};
  const ArgType* element = nullptr;
  std::span<const ArgMember> members = {};
  std::string_view tag = {};
  std::span<const ArgVariant> variants = {};
};

inline constexpr ArgType kString{Kind::string};
inline constexpr ArgType kBoolean{Kind::boolean};
inline constexpr ArgType kInteger{Kind::integer};
inline constexpr ArgType kUint8{Kind::uint8};
inline constexpr ArgType kUint16{Kind::uint16};
inline constexpr ArgType kUint32{Kind::uint32};
inline constexpr ArgType kUint64{Kind::uint64};

/// Checks the arguments of a command (`value` is a JSON object) against an object or union type.
/// Declared members are looked at first, in their order; then whatever is left over is unexpected.
/// Strings with a NUL byte are refused: no path, host or name has one. Errors: invalid_argument.
Result<void> check_arguments(const Json& value, const ArgType& type) noexcept;

}  // namespace tern::qmp
