// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_schema.h"

#include <algorithm>
#include <optional>

namespace tern::tool {
namespace {

constexpr size_t kMaxEntities = 100000;
constexpr int kDescribeDepth = 4;
constexpr size_t kWordsShown = 80;  // columns

std::optional<SchemaKind> kind_of(std::string_view meta) noexcept {
  if (meta == "builtin") return SchemaKind::builtin;
  if (meta == "enum") return SchemaKind::enumeration;
  if (meta == "array") return SchemaKind::array;
  if (meta == "object") return SchemaKind::object;
  if (meta == "alternate") return SchemaKind::alternate;
  if (meta == "command") return SchemaKind::command;
  if (meta == "event") return SchemaKind::event;
  return std::nullopt;
}

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const Json& item : list) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<SchemaWord> read_words(const Json& item) {
  std::vector<SchemaWord> words;
  const Json& members = field(item, "members");  // since QEMU 7.0; "values" before
  if (members.is_array()) {
    for (const Json& m : members) {
      words.push_back({text_field(m, "name"), texts(field(m, "features"))});
    }
    return words;
  }
  for (std::string& name : texts(field(item, "values"))) words.push_back({std::move(name), {}});
  return words;
}

void read_object(const Json& item, SchemaEntity& entity) {
  const Json& members = field(item, "members");
  for (const Json& m : members.is_array() ? members : Json::array()) {
    SchemaMember member;
    member.name = text_field(m, "name");
    member.type = text_field(m, "type");
    member.optional = m.is_object() && m.contains("default");
    member.features = texts(field(m, "features"));
    entity.members.push_back(std::move(member));
  }
  entity.tag = text_field(item, "tag");
  const Json& variants = field(item, "variants");
  for (const Json& v : variants.is_array() ? variants : Json::array()) {
    entity.variants.push_back({text_field(v, "case"), text_field(v, "type")});
  }
}

SchemaEntity read_entity(SchemaKind kind, const Json& item) {
  SchemaEntity entity;
  entity.kind = kind;
  entity.features = texts(field(item, "features"));
  switch (kind) {
    case SchemaKind::builtin:
      entity.json_type = text_field(item, "json-type");
      break;
    case SchemaKind::enumeration:
      entity.words = read_words(item);
      break;
    case SchemaKind::array:
      entity.element = text_field(item, "element-type");
      break;
    case SchemaKind::object:
      read_object(item, entity);
      break;
    case SchemaKind::alternate:
      for (const Json& m : field(item, "members").is_array() ? field(item, "members") : Json()) {
        entity.alternatives.push_back(text_field(m, "type"));
      }
      break;
    case SchemaKind::command:
    case SchemaKind::event:
      entity.arguments = text_field(item, "arg-type");
      entity.returns = text_field(item, "ret-type");
      entity.allow_oob = flag_field(item, "allow-oob");
      break;
  }
  return entity;
}

std::string builtin_name(const std::string& json_type) {
  if (json_type == "int") return "integer";
  if (json_type == "boolean") return "on|off";
  if (json_type == "value") return "any JSON";
  return json_type;
}

std::string joined_words(const std::vector<SchemaWord>& words) {
  std::string text;
  for (const SchemaWord& word : words) {
    if (!text.empty()) text += '|';
    text += word.name;
    if (text.size() > kWordsShown) return "one of " + std::to_string(words.size()) + " words";
  }
  return text;
}

}  // namespace

Result<Schema> Schema::read(const Json& reply) noexcept {
  if (!reply.is_array() || reply.size() > kMaxEntities) {
    return Error(ErrorCode::peer_protocol, "query-qmp-schema: no list of definitions");
  }
  Schema schema;
  for (const Json& item : reply) {
    const std::string name = text_field(item, "name");
    if (name.empty()) {
      return Error(ErrorCode::peer_protocol, "query-qmp-schema: a definition without a name");
    }
    // A kind that a later server invents is left out: what refers to it is typed by its look.
    const auto kind = kind_of(text_field(item, "meta-type"));
    if (kind) schema.entities_.emplace(name, read_entity(*kind, item));
  }
  return schema;
}

const SchemaEntity* Schema::find(std::string_view name) const noexcept {
  const auto found = entities_.find(name);
  return found == entities_.end() ? nullptr : &found->second;
}

const SchemaEntity* Schema::command(std::string_view name) const noexcept {
  const SchemaEntity* entity = find(name);
  return entity != nullptr && entity->kind == SchemaKind::command ? entity : nullptr;
}

const SchemaEntity* Schema::event(std::string_view name) const noexcept {
  const SchemaEntity* entity = find(name);
  return entity != nullptr && entity->kind == SchemaKind::event ? entity : nullptr;
}

std::vector<std::string> Schema::commands() const {
  std::vector<std::string> names;
  for (const auto& [name, entity] : entities_) {
    if (entity.kind == SchemaKind::command) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Schema::events() const {
  std::vector<std::string> names;
  for (const auto& [name, entity] : entities_) {
    if (entity.kind == SchemaKind::event) names.push_back(name);
  }
  return names;
}

std::string Schema::describe(std::string_view type) const { return describe(type, kDescribeDepth); }

std::string Schema::describe(std::string_view type, int depth) const {
  const SchemaEntity* entity = find(type);
  if (entity == nullptr || depth == 0) return "value";
  switch (entity->kind) {
    case SchemaKind::builtin:
      return builtin_name(entity->json_type);
    case SchemaKind::enumeration:
      return joined_words(entity->words);
    case SchemaKind::array:
      return "list of " + describe(entity->element, depth - 1);
    case SchemaKind::object:
      return entity->members.empty() && entity->variants.empty() ? "nothing" : "object";
    case SchemaKind::alternate: {
      std::string text;
      for (const std::string& alternative : entity->alternatives) {
        text += (text.empty() ? "" : " or ") + describe(alternative, depth - 1);
      }
      return text;
    }
    case SchemaKind::command:
    case SchemaKind::event:
      break;
  }
  return "value";
}

std::vector<std::string> Schema::words(std::string_view type) const {
  std::vector<std::string> out;
  const SchemaEntity* entity = find(type);
  if (entity == nullptr) return out;
  if (entity->kind == SchemaKind::builtin && entity->json_type == "boolean") return {"on", "off"};
  for (const SchemaWord& word : entity->words) out.push_back(word.name);
  return out;
}

bool has_feature(const std::vector<std::string>& features, std::string_view name) noexcept {
  return std::find(features.begin(), features.end(), name) != features.end();
}

}  // namespace tern::tool
