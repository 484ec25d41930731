// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_help.h"

#include <algorithm>
#include <set>

#include "tools/tern/ctl_arguments.h"
#include "tools/tern/ctl_scalar.h"

namespace tern::tool {
namespace {

constexpr int kMaxDepth = 3;           // of nested objects that are listed
constexpr size_t kMaxArguments = 400;  // of one command
constexpr size_t kColumns = 100;

void collect(const Schema& schema, std::string_view type, const std::string& prefix, int depth,
             const std::vector<std::string>& given, std::vector<HelpArgument>& out);

// The type below a list or alternate that has members, "" if none has; `name` gets its index.
std::string nested_type(const Schema& schema, const std::string& type, std::string& name) {
  const SchemaEntity* entity = schema.find(type);
  if (entity == nullptr) return {};
  if (entity->kind == SchemaKind::object && !entity->members.empty()) return type;
  if (entity->kind == SchemaKind::array) {
    std::string inner = name + ".0";
    const std::string found = nested_type(schema, entity->element, inner);
    if (!found.empty()) name = inner;
    return found;
  }
  if (entity->kind == SchemaKind::alternate) {
    for (const std::string& one : entity->alternatives) {
      const std::string found = nested_type(schema, one, name);
      if (!found.empty()) return found;
    }
  }
  return {};
}

void collect_member(const Schema& schema, const SchemaMember& member, const std::string& prefix,
                    int depth, const std::vector<std::string>& given,
                    std::vector<HelpArgument>& out) {
  std::string name = prefix + member.name;
  const SchemaEntity* entity = schema.find(member.type);
  const std::string inner = nested_type(schema, member.type, name);
  const bool also_plain =
      inner.empty() || (entity != nullptr && entity->kind == SchemaKind::alternate);
  HelpArgument argument{prefix + member.name + "=",
                        schema.describe(member.type),
                        schema.words(member.type),
                        member.optional,
                        member.features,
                        false};
  if (also_plain) out.push_back(argument);
  if (inner.empty()) return;
  if (depth > 1) {
    const size_t first = out.size();
    collect(schema, inner, name + ".", depth - 1, given, out);
    // Parts of what may be left out may be left out with it.
    for (size_t i = first; member.optional && i < out.size(); ++i) out[i].optional = true;
  } else if (!also_plain) {
    argument.name = name + ".";
    out.push_back(std::move(argument));
  }
}

void collect(const Schema& schema, std::string_view type, const std::string& prefix, int depth,
             const std::vector<std::string>& given, std::vector<HelpArgument>& out) {
  std::vector<std::string> open_tags;  // those without a value
  const auto tag_value = [&](const std::string& tag) -> std::string {
    const std::string key = prefix + tag + "=";
    for (const std::string& word : given) {
      if (word.starts_with(key)) return word.substr(key.size());
    }
    open_tags.push_back(tag);
    return {};
  };
  for (const SchemaMember* member : members_of(schema, type, tag_value)) {
    if (out.size() >= kMaxArguments) return;
    collect_member(schema, *member, prefix, depth, given, out);
    const auto open = std::find(open_tags.begin(), open_tags.end(), member->name);
    if (open != open_tags.end()) out.back().opens_more = true;
  }
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

// Features for people: only what they should know before they rely on it.
std::string warnings(const std::vector<std::string>& features) {
  std::vector<std::string> known;
  for (const char* name : {"deprecated", "unstable"}) {
    if (has_feature(features, name)) known.emplace_back(name);
  }
  return known.empty() ? "" : "  (" + joined(known, ", ") + ")";
}

std::string summary(const Schema& schema, const SchemaEntity& command) {
  std::string text;
  const SchemaEntity* arguments = schema.find(command.arguments);
  if (arguments == nullptr) return text;
  for (const SchemaMember& member : arguments->members) {
    std::string one = member.optional ? " [" + member.name + "]" : " " + member.name;
    if (text.size() + one.size() > kColumns) return text + " …";
    text += one;
  }
  return text;
}

std::string capability_lines(const Schema& schema, const std::string& type) {
  std::string text = "  NAME=on|off …  with these names:\n";
  const SchemaEntity* entity = schema.find(type);
  if (entity == nullptr) return text;
  for (const SchemaWord& word : entity->words) {
    text += "    " + word.name + warnings(word.features) + "\n";
  }
  return text;
}

std::string argument_lines(const std::vector<HelpArgument>& arguments) {
  size_t width = 0;
  for (const HelpArgument& a : arguments) width = std::max(width, a.name.size());
  std::string text;
  std::set<std::vector<std::string>> listed_words;  // once each
  for (const HelpArgument& a : arguments) {
    std::string line = "  " + a.name + std::string(width - a.name.size() + 2, ' ') + a.type;
    if (a.optional) line += "  (optional)";
    text += line + warnings(a.features) + "\n";
    if (a.type.starts_with("one of ") && listed_words.insert(a.words).second) {
      std::string words = "     ";
      for (const std::string& word : a.words) {
        if (words.size() + word.size() > kColumns) {
          text += words + "\n";
          words = "     ";
        }
        words += " " + word;
      }
      text += words + "\n";
    }
  }
  return text;
}

Error no_such(const Catalog& catalog, const std::string& name) {
  std::vector<std::string> names = catalog.commands;
  if (catalog.schema != nullptr) {
    const auto events = catalog.schema->events();
    names.insert(names.end(), events.begin(), events.end());
  }
  return {ErrorCode::invalid_argument,
          "the server has no command or event '" + name + "'" + advice(name, names)};
}

const SchemaEntity* described(const Catalog& catalog, const std::string& name) {
  if (catalog.schema == nullptr) return nullptr;
  const SchemaEntity* entity = catalog.schema->command(name);
  return entity != nullptr ? entity : catalog.schema->event(name);
}

bool listed(const Catalog& catalog, const std::string& name) {
  return std::find(catalog.commands.begin(), catalog.commands.end(), name) !=
         catalog.commands.end();
}

// What hides behind the words of a union's tag, for which one more word of the command line asks.
std::string union_hint(const std::vector<HelpArgument>& arguments, const std::string& name) {
  for (const HelpArgument& a : arguments) {
    if (!a.opens_more) continue;
    const std::string tag = a.name.substr(0, a.name.size() - 1);
    return "  More depend on '" + tag + "': help " + name + " … " + a.name + "WORD lists them.\n";
  }
  return {};
}

}  // namespace

std::vector<HelpArgument> help_arguments(const Schema& schema, std::string_view type,
                                         const std::vector<std::string>& given) {
  std::vector<HelpArgument> out;
  collect(schema, type, {}, kMaxDepth, given, out);
  return out;
}

std::string help_commands(const Catalog& catalog) {
  std::string text;
  for (const std::string& name : catalog.commands) {
    const SchemaEntity* command =
        catalog.schema == nullptr ? nullptr : catalog.schema->command(name);
    text += name;
    if (command != nullptr) {
      text += summary(*catalog.schema, *command) + warnings(command->features);
    }
    text += "\n";
  }
  return text;
}

Json help_commands_json(const Catalog& catalog) {
  Json list = Json::array();
  for (const std::string& name : catalog.commands) {
    const SchemaEntity* command =
        catalog.schema == nullptr ? nullptr : catalog.schema->command(name);
    Json item = {{"name", name}};
    if (command != nullptr) item["features"] = command->features;
    list.push_back(std::move(item));
  }
  return list;
}

Result<std::string> help_about(const Catalog& catalog, const std::string& name,
                               const std::vector<std::string>& given) noexcept {
  const SchemaEntity* entity = described(catalog, name);
  if (entity == nullptr) {
    if (!listed(catalog, name)) return no_such(catalog, name);
    return name + "\n  the server does not say what it takes (it has no query-qmp-schema)\n";
  }
  const Schema& schema = *catalog.schema;
  const bool event = entity->kind == SchemaKind::event;
  std::string text = name + (event ? "  (event)" : "") + warnings(entity->features) + "\n";
  const std::string capabilities = event ? "" : capability_type(schema, *entity);
  const auto arguments = help_arguments(schema, entity->arguments, given);
  if (!capabilities.empty()) {
    text += capability_lines(schema, capabilities);
  } else if (arguments.empty()) {
    text += event ? "  carries no data\n" : "  takes no arguments\n";
  } else {
    text += argument_lines(arguments) + union_hint(arguments, name);
  }
  if (!event) text += "  returns " + schema.describe(entity->returns) + "\n";
  if (entity->allow_oob) text += "  can be executed out of band (--oob)\n";
  return text;
}

Result<Json> help_about_json(const Catalog& catalog, const std::string& name,
                             const std::vector<std::string>& given) noexcept {
  const SchemaEntity* entity = described(catalog, name);
  if (entity == nullptr) {
    if (!listed(catalog, name)) return no_such(catalog, name);
    return Json{{"name", name}};
  }
  const Schema& schema = *catalog.schema;
  const bool event = entity->kind == SchemaKind::event;
  Json arguments = Json::array();
  for (const HelpArgument& a : help_arguments(schema, entity->arguments, given)) {
    arguments.push_back({{"name", a.name.substr(0, a.name.size() - 1)},
                         {"type", a.type},
                         {"words", a.words},
                         {"optional", a.optional},
                         {"features", a.features}});
  }
  Json out = {{"name", name}, {event ? "data" : "arguments", std::move(arguments)}};
  out["features"] = entity->features;
  if (event) return out;
  out["returns"] = schema.describe(entity->returns);
  out["allow-oob"] = entity->allow_oob;
  const std::string capabilities = capability_type(schema, *entity);
  if (!capabilities.empty()) out["capabilities"] = schema.words(capabilities);
  return out;
}

}  // namespace tern::tool
