// SPDX-License-Identifier: Apache-2.0
//
// key=value words of a command line as the arguments of a QMP command, typed by the server's
// schema where it has one and by their look otherwise. What the schema does not allow is refused
// here, with a message that says what is possible. Sends nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"
#include "tools/tern/ctl_schema.h"

namespace tern::tool {

/// One word. `key:=JSON` is raw: the value goes out as it is, unchecked.
struct KeyValue {
  std::string key;  // a path: a.b, list.0.name
  std::string value;
  bool raw = false;
};

/// Errors: invalid_argument if the word has no '=' or no key.
Result<KeyValue> parse_key_value(std::string_view word) noexcept;

/// The "arguments" of `command` (null if there are none). A word that is a JSON object gives
/// several of them at once. Errors: invalid_argument.
Result<Json> build_arguments(const Schema* schema, const std::string& command,
                             const std::vector<std::string>& words) noexcept;

/// The members of an object type, with those of the variants that `tag_value` chooses (it is asked
/// for the value of a tag and answers "" if that is not given).
std::vector<const SchemaMember*> members_of(
    const Schema& schema, std::string_view type,
    const std::function<std::string(const std::string& tag)>& tag_value);

/// Whether the command has an argument "capabilities": [{"capability": …, "state": …}], for which
/// NAME=on|off is understood too; then the enumeration of the names, otherwise "".
std::string capability_type(const Schema& schema, const SchemaEntity& command);

}  // namespace tern::tool
