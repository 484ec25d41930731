// SPDX-License-Identifier: Apache-2.0
//
// The types of QMP's arguments, results and events as data: for checking a JSON value with QMP's
// error texts, for introspection and for the reference. Knows JSON; knows nothing of commands and
// never changes a value.
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
  number,   // in results only
  string_or_null,
  uint8,
  uint16,
  uint32,
  uint64,       // also `size`
  enumeration,  // a string out of `words`
  array,        // of `element`
  object,       // `members` and nothing else
  flat_union,   // `members`, one of which is named `tag`, and those of the variant that it selects
};

struct QapiType;

/// What introspection says of a member, a command or an event besides its type.
using Features = unsigned;
inline constexpr Features kNoFeatures = 0;
inline constexpr Features kDeprecated = 1;
inline constexpr Features kUnstable = 2;
constexpr Features features_of(bool deprecated, bool unstable) noexcept {
  return (deprecated ? kDeprecated : kNoFeatures) | (unstable ? kUnstable : kNoFeatures);
}

struct QapiMember {
  std::string_view name;
  const QapiType* type;
  bool optional = false;
  Features features = kNoFeatures;
};

struct QapiVariant {
  std::string_view tag_value;
  const QapiType* type;  // an object or a flat_union; its members stand beside the tag
};

struct QapiType {
  Kind kind;
  std::string_view name = {};  // of enumerations, objects and unions
  std::span<const std::string_view> words = {};
  std::span<const Features> word_features = {};  // for each word; none: nothing to say of any
  const QapiType* element = nullptr;
  std::span<const QapiMember> members = {};
  std::string_view tag = {};
  std::span<const QapiVariant> variants = {};
};

inline constexpr QapiType kString{Kind::string};
inline constexpr QapiType kBoolean{Kind::boolean};
inline constexpr QapiType kInteger{Kind::integer};
inline constexpr QapiType kNumber{Kind::number};
inline constexpr QapiType kStringOrNull{Kind::string_or_null};
inline constexpr QapiType kUint8{Kind::uint8};
inline constexpr QapiType kUint16{Kind::uint16};
inline constexpr QapiType kUint32{Kind::uint32};
inline constexpr QapiType kUint64{Kind::uint64};

/// The empty object: no arguments, no result, no data.
inline constexpr QapiType kEmpty{.kind = Kind::object, .name = "q_empty"};
inline constexpr QapiType kStringList{.kind = Kind::array, .element = &kString};

/// Checks the arguments of a command (`value` is a JSON object) against an object or union type.
/// Declared members are looked at first, in their order; then whatever is left over is unexpected.
/// Strings with a NUL byte are refused: no path, host or name has one. Errors: invalid_argument.
Result<void> check_arguments(const Json& value, const QapiType& type) noexcept;

/// Checks any value, in the same words: that a result is what introspection promises.
Result<void> check_value(const Json& value, const QapiType& type) noexcept;

}  // namespace tern::qmp
