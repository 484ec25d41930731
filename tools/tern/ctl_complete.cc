// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_complete.h"

#include <algorithm>

#include "tools/tern/ctl_arguments.h"
#include "tools/tern/ctl_help.h"

namespace tern::tool {
namespace {

void add_if(std::vector<std::string>& out, const std::string& word, const std::string& begun) {
  if (word.starts_with(begun)) out.push_back(word);
}

// Values for "key=begun".
std::vector<std::string> values(const HelpArgument& argument, const std::string& word) {
  std::vector<std::string> out;
  for (const std::string& value : argument.words) add_if(out, argument.name + value, word);
  return out;
}

std::vector<HelpArgument> arguments_of(const Schema& schema, const SchemaEntity& command,
                                       const std::vector<std::string>& given) {
  const std::string capabilities = capability_type(schema, command);
  if (capabilities.empty()) return help_arguments(schema, command.arguments, given);
  std::vector<HelpArgument> out;
  for (const std::string& name : schema.words(capabilities)) {
    out.push_back({name + "=", "on|off", {"on", "off"}, true, {}, false});
  }
  return out;
}

std::vector<std::string> complete_argument(const Schema& schema, const SchemaEntity& command,
                                           const std::vector<std::string>& given,
                                           const std::string& word) {
  std::vector<std::string> out;
  for (const HelpArgument& argument : arguments_of(schema, command, given)) {
    if (word.starts_with(argument.name) && argument.name.ends_with('=')) {
      return values(argument, word);
    }
    const bool there = std::any_of(given.begin(), given.end(), [&](const std::string& other) {
      return other.starts_with(argument.name);
    });
    if (!there) add_if(out, argument.name, word);
  }
  return out;
}

std::vector<std::string> complete_name(const Catalog& catalog, const std::string& begun,
                                       bool with_own_words) {
  std::vector<std::string> out;
  if (with_own_words) {
    for (const std::string& word : ctl_words()) add_if(out, word, begun);
  }
  for (const std::string& name : catalog.commands) add_if(out, name, begun);
  if (!with_own_words && catalog.schema != nullptr) {
    for (const std::string& name : catalog.schema->events()) add_if(out, name, begun);
  }
  return out;
}

}  // namespace

const std::vector<std::string>& ctl_words() noexcept {
  static const std::vector<std::string> kWords = {"watch", "help", "complete", "-"};
  return kWords;
}

std::vector<std::string> complete(const Catalog& catalog, const std::vector<std::string>& words) {
  if (words.size() <= 1) return complete_name(catalog, words.empty() ? "" : words[0], true);
  const bool help = words[0] == "help";
  if (help && words.size() == 2) return complete_name(catalog, words[1], false);
  const size_t name = help ? 1 : 0;
  if (catalog.schema == nullptr) return {};
  const SchemaEntity* command = catalog.schema->command(words[name]);
  if (command == nullptr) return {};
  const std::vector<std::string> given(words.begin() + static_cast<std::ptrdiff_t>(name) + 1,
                                       words.end() - 1);
  return complete_argument(*catalog.schema, *command, given, words.back());
}

}  // namespace tern::tool
