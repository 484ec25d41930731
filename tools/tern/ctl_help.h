// SPDX-License-Identifier: Apache-2.0
//
// What a server can do, for people and for programs: the list of its commands, and the arguments
// of one command or the data of one event.
#pragma once

#include <string>
#include <vector>

#include "tern/result.h"
#include "tools/tern/ctl_schema.h"

namespace tern::tool {

struct HelpArgument {
  std::string name;  // the path as it is written on the command line, with "=" or "." behind it
  std::string type;  // Schema::describe()
  std::vector<std::string> words;
  bool optional = false;
  std::vector<std::string> features;
  bool opens_more = false;  // a tag: with a value for it among `given` there are more arguments
};

/// The arguments of an object type one by one, those of nested objects under dotted names. `given`
/// are words of the command line: the tag of a union among them adds what it chooses.
std::vector<HelpArgument> help_arguments(const Schema& schema, std::string_view type,
                                         const std::vector<std::string>& given);

/// One line for each command: name and arguments.
std::string help_commands(const Catalog& catalog);
/// [{"name": …, "features": […]}, …]
Json help_commands_json(const Catalog& catalog);

/// About a command or an event. Errors: invalid_argument if there is none of that name.
Result<std::string> help_about(const Catalog& catalog, const std::string& name,
                               const std::vector<std::string>& given) noexcept;
Result<Json> help_about_json(const Catalog& catalog, const std::string& name,
                             const std::vector<std::string>& given) noexcept;

}  // namespace tern::tool
