// SPDX-License-Identifier: Apache-2.0
//
// What a QMP server can do, out of its own query-qmp-schema: commands, events, and the types of
// their arguments. Knows nothing of command lines.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"
#include "tools/common/json_fields.h"

namespace tern::tool {

enum class SchemaKind { builtin, enumeration, array, object, alternate, command, event };

struct SchemaMember {
  std::string name;
  std::string type;
  bool optional = false;
  std::vector<std::string> features;  // "deprecated", "unstable" …
};

struct SchemaWord {
  std::string name;
  std::vector<std::string> features;
};

struct SchemaVariant {
  std::string word;  // of the tag
  std::string type;
};

struct SchemaEntity {
  SchemaKind kind = SchemaKind::builtin;
  std::string json_type;              // of a builtin: string, int, number, boolean, null, value
  std::vector<SchemaWord> words;      // of an enumeration
  std::string element;                // of an array: a type
  std::vector<SchemaMember> members;  // of an object
  std::string tag;                    // of an object with variants: the member that chooses
  std::vector<SchemaVariant> variants;
  std::vector<std::string> alternatives;  // of an alternate: types
  std::string arguments;                  // of a command or event: an object type
  std::string returns;                    // of a command
  bool allow_oob = false;
  std::vector<std::string> features;
};

class Schema {
 public:
  /// From the reply of query-qmp-schema. Errors: peer_protocol if that makes no sense.
  static Result<Schema> read(const Json& reply) noexcept;

  const SchemaEntity* find(std::string_view name) const noexcept;
  /// nullptr unless it is a command.
  const SchemaEntity* command(std::string_view name) const noexcept;
  const SchemaEntity* event(std::string_view name) const noexcept;
  /// Sorted.
  std::vector<std::string> commands() const;
  std::vector<std::string> events() const;

  /// "string", "on|off", "none|zlib|zstd", "list of int", "string or null", "object".
  std::string describe(std::string_view type) const;
  /// The words of an enumeration; on and off for a boolean.
  std::vector<std::string> words(std::string_view type) const;

 private:
  std::string describe(std::string_view type, int depth) const;
  std::map<std::string, SchemaEntity, std::less<>> entities_;
};

bool has_feature(const std::vector<std::string>& features, std::string_view name) noexcept;

/// A server's commands, as far as it says: the schema, or only names from query-commands.
struct Catalog {
  const Schema* schema = nullptr;  // nullptr if the server has none
  std::vector<std::string> commands;
};

}  // namespace tern::tool
