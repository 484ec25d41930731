// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_arguments.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "tools/tern/ctl_scalar.h"

namespace tern::tool {
namespace {

constexpr size_t kMaxWords = 10000;
constexpr size_t kMaxIndex = 9999;
constexpr int kMaxUnions = 16;  // variants inside variants

// A word, and what of its key is left below the value being built.
struct Entry {
  const KeyValue* word;
  std::string_view rest;
};
using Entries = std::vector<Entry>;

Error bad(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

bool begins_as_json(std::string_view text) noexcept {
  return text.starts_with('{') || text.starts_with('[');
}

Result<Json> json_value(const KeyValue& word) {
  auto value = parse_json(word.value);
  if (!value) return bad(in_quotes(word.key) + ": not JSON: " + word.value);
  return std::move(*value);
}

// The index in front of a path: "12" or "12.rest".
std::optional<size_t> take_index(std::string_view& path) noexcept {
  size_t index = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), index);
  if (error != std::errc()) return std::nullopt;
  std::string_view rest = path.substr(static_cast<size_t>(end - path.data()));
  if (!rest.empty() && rest[0] != '.') return std::nullopt;
  path = rest.empty() ? rest : rest.substr(1);
  return index;
}

// Whether `path` is `name` or goes on below it; then `path` is what is left.
bool take_name(std::string_view& path, std::string_view name) noexcept {
  if (!path.starts_with(name)) return false;
  if (path.size() > name.size() && path[name.size()] != '.') return false;
  path.remove_prefix(std::min(path.size(), name.size() + 1));
  return true;
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return out;
}

class Builder {
 public:
  explicit Builder(const Schema& schema) : schema_(schema) {}

  Result<Json> object(std::string_view type, const Entries& entries, const std::string& where,
                      bool open);

 private:
  Result<Json> value(std::string_view type, const Entries& entries, const std::string& where);
  Result<Json> plain(std::string_view type, const KeyValue& word, std::string_view text,
                     const std::string& where);
  Result<Json> array(const SchemaEntity& entity, const Entries& entries, const std::string& where);
  Result<Json> indexed(const SchemaEntity& entity, const Entries& entries,
                       const std::string& where);
  Result<Json> alternate(const SchemaEntity& entity, const Entries& entries,
                         const std::string& where);
  std::optional<Json> one_of(const SchemaEntity& alternate, const KeyValue& word) const;
  const SchemaEntity* alternative(const SchemaEntity& entity, SchemaKind kind,
                                  std::string* type) const;
  Error unknown(std::string_view type, const std::vector<const SchemaMember*>& members,
                std::string_view path, const std::string& where) const;
  Error missing(const SchemaMember& member, const std::string& where) const;

  const Schema& schema_;
};

std::string below(const std::string& where, std::string_view name) {
  return where.empty() ? std::string(name) : where + "." + std::string(name);
}

Error Builder::unknown(std::string_view type, const std::vector<const SchemaMember*>& members,
                       std::string_view path, const std::string& where) const {
  std::vector<std::string> names;
  names.reserve(members.size());
  for (const SchemaMember* m : members) names.push_back(m->name);
  std::string text =
      (where.empty() ? "no argument " : in_quotes(where) + " has no ") + in_quotes(path);
  if (names.empty()) text += where.empty() ? "; it takes none" : "; it has no members";
  text += advice(path, names);
  const SchemaEntity* entity = schema_.find(type);
  const bool tag_alone =
      entity != nullptr && !entity->tag.empty() && members.size() == entity->members.size();
  if (tag_alone) {
    text += " (more depend on " + in_quotes(below(where, entity->tag)) + ")";
  }
  return bad(std::move(text));
}

Error Builder::missing(const SchemaMember& member, const std::string& where) const {
  const std::string name = below(where, member.name);
  return bad("missing argument " + in_quotes(name) + ": " + name + "=" +
             schema_.describe(member.type));
}

Result<Json> Builder::object(std::string_view type, const Entries& entries,
                             const std::string& where, bool open) {
  const auto members = members_of(schema_, type, [&](const std::string& tag) -> std::string {
    for (const Entry& entry : entries) {
      if (entry.rest != tag) continue;
      if (!entry.word->raw) return entry.word->value;
      const auto raw = parse_json(entry.word->value);
      if (raw && raw->is_string()) return raw->get<std::string>();
    }
    return {};
  });
  std::map<const SchemaMember*, Entries> groups;
  Json out = Json::object();
  for (const Entry& entry : entries) {
    const SchemaMember* found = nullptr;
    for (const SchemaMember* member : members) {
      std::string_view rest = entry.rest;
      // Names may have dots in them: the longest that fits is meant.
      if (take_name(rest, member->name) &&
          (found == nullptr || member->name.size() > found->name.size()))
        found = member;
    }
    if (found != nullptr) {
      std::string_view rest = entry.rest;
      take_name(rest, found->name);
      groups[found].push_back({entry.word, rest});
    } else if (entry.word->raw) {
      out[std::string(entry.rest)] = TERN_TRY(json_value(*entry.word));
    } else if (open) {
      out[std::string(entry.rest)] = value_by_look(entry.word->value);
    } else {
      return unknown(type, members, entry.rest, where);
    }
  }
  for (const SchemaMember* member : members) {
    const auto group = groups.find(member);
    if (group != groups.end()) {
      out[member->name] = TERN_TRY(value(member->type, group->second, below(where, member->name)));
    } else if (!member->optional) {
      return missing(*member, where);
    }
  }
  return out;
}

Result<Json> Builder::value(std::string_view type, const Entries& entries,
                            const std::string& where) {
  const Entry& first = entries.front();
  if (entries.size() == 1 && first.rest.empty() && first.word->raw) return json_value(*first.word);
  const SchemaEntity* entity = schema_.find(type);
  if (entity != nullptr && entity->kind == SchemaKind::array) return array(*entity, entries, where);
  if (entity != nullptr && entity->kind == SchemaKind::alternate)
    return alternate(*entity, entries, where);
  const auto in_part = [](const Entry& entry) { return !entry.rest.empty(); };
  if (entity != nullptr && entity->kind == SchemaKind::object &&
      std::any_of(entries.begin(), entries.end(), in_part)) {
    if (!std::all_of(entries.begin(), entries.end(), in_part)) {
      return bad(in_quotes(where) + " is given whole and in parts");
    }
    return object(type, entries, where, false);
  }
  if (entries.size() > 1) return bad(in_quotes(where) + " is given more than once");
  if (!first.rest.empty()) {
    return bad(in_quotes(where) + " is " + schema_.describe(type) + " and has no " +
               in_quotes(first.rest));
  }
  return plain(type, *first.word, first.word->value, where);
}

// A value that is one piece of text.
Result<Json> Builder::plain(std::string_view type, const KeyValue& word, std::string_view text,
                            const std::string& where) {
  const SchemaEntity* entity = schema_.find(type);
  if (entity == nullptr) return value_by_look(text);
  if (entity->kind == SchemaKind::enumeration) {
    const auto words = schema_.words(type);
    if (std::find(words.begin(), words.end(), text) != words.end()) return std::string(text);
    return bad(in_quotes(where) + " cannot be " + in_quotes(text) + advice(text, words));
  }
  if (entity->kind == SchemaKind::builtin) {
    const std::string& json = entity->json_type;
    if (json == "string") return std::string(text);
    if (json == "value") return value_by_look(text);
    std::optional<Json> parsed;
    if (json == "int") parsed = parse_integer(text);
    if (json == "number") parsed = parse_number(text);
    if (json == "boolean") {
      if (const auto on = parse_switch(text)) parsed = *on;
    }
    if (json == "null" && text == "null") parsed = Json(nullptr);
    if (parsed) return std::move(*parsed);
    const std::string hint =
        json == "int" ? ": an integer is wanted, sizes may end in K, M, G, T" : "";
    return bad(in_quotes(where) + " cannot be " + in_quotes(text) +
               (hint.empty() ? "; possible: " + schema_.describe(type) : hint));
  }
  if (begins_as_json(text)) {
    auto parsed = parse_json(text);
    if (parsed) return std::move(*parsed);
    return bad(in_quotes(where) + ": not JSON: " + std::string(text));
  }
  return bad(in_quotes(where) + " is an object: give it as JSON or in parts, " + word.key +
             ".NAME=…");
}

Result<Json> Builder::array(const SchemaEntity& entity, const Entries& entries,
                            const std::string& where) {
  const bool in_parts =
      std::any_of(entries.begin(), entries.end(), [](const Entry& e) { return !e.rest.empty(); });
  if (in_parts) return indexed(entity, entries, where);
  const SchemaEntity* element = schema_.find(entity.element);
  const bool scalar = element == nullptr || element->kind == SchemaKind::builtin ||
                      element->kind == SchemaKind::enumeration ||
                      element->kind == SchemaKind::alternate;
  Json out = Json::array();
  for (const Entry& entry : entries) {
    const KeyValue& word = *entry.word;
    if (word.raw || begins_as_json(word.value)) {
      Json given = TERN_TRY(json_value(word));
      if (given.is_array()) {
        for (Json& item : given) out.push_back(std::move(item));
      } else {
        out.push_back(std::move(given));
      }
      continue;
    }
    if (!scalar) {
      return bad(in_quotes(where) + " is a list of objects: give it as JSON or in parts, " +
                 word.key + ".0.NAME=…");
    }
    for (const std::string& part : split_at_commas(word.value)) {
      const KeyValue piece{word.key, part, false};
      out.push_back(TERN_TRY(value(entity.element, {{&piece, {}}}, where)));
    }
  }
  return out;
}

Result<Json> Builder::indexed(const SchemaEntity& entity, const Entries& entries,
                              const std::string& where) {
  std::map<size_t, Entries> items;
  for (const Entry& entry : entries) {
    std::string_view rest = entry.rest;
    const auto index = take_index(rest);
    if (!index || *index > kMaxIndex) {
      return bad(in_quotes(where) + " is a list: an index is wanted, as in " + where + ".0, not " +
                 in_quotes(entry.word->key));
    }
    items[*index].push_back({entry.word, rest});
  }
  Json out = Json::array();
  for (const auto& [index, parts] : items) {
    if (index != out.size()) {
      return bad(in_quotes(where) + " has no element " + std::to_string(out.size()) +
                 " but one with the index " + std::to_string(index));
    }
    out.push_back(TERN_TRY(value(entity.element, parts, below(where, std::to_string(index)))));
  }
  return out;
}

const SchemaEntity* Builder::alternative(const SchemaEntity& entity, SchemaKind kind,
                                         std::string* type) const {
  for (const std::string& name : entity.alternatives) {
    const SchemaEntity* one = schema_.find(name);
    if (one == nullptr || one->kind != kind) continue;
    *type = name;
    return one;
  }
  return nullptr;
}

Result<Json> Builder::alternate(const SchemaEntity& entity, const Entries& entries,
                                const std::string& where) {
  const Entry& first = entries.front();
  std::string type;
  if (const SchemaEntity* list = alternative(entity, SchemaKind::array, &type);
      list != nullptr && (entries.size() > 1 || !first.rest.empty())) {
    return array(*list, entries, where);
  }
  if (!first.rest.empty() && alternative(entity, SchemaKind::object, &type) != nullptr) {
    return value(type, entries, where);
  }
  if (entries.size() > 1) return bad(in_quotes(where) + " is given more than once");
  const std::string& text = first.word->value;
  if (!first.rest.empty()) return bad(in_quotes(where) + " has no " + in_quotes(first.rest));
  if (auto found = one_of(entity, *first.word)) return std::move(*found);
  std::string possible;
  for (const std::string& name : entity.alternatives) {
    possible += (possible.empty() ? "" : " or ") + schema_.describe(name);
  }
  return bad(in_quotes(where) + " cannot be " + in_quotes(text) + "; possible: " + possible);
}

// The alternative that the text fits; a string last, since every text is one.
std::optional<Json> Builder::one_of(const SchemaEntity& entity, const KeyValue& word) const {
  std::optional<Json> as_string;
  for (const std::string& name : entity.alternatives) {
    const SchemaEntity* one = schema_.find(name);
    if (one == nullptr) continue;
    const bool composed = one->kind == SchemaKind::object || one->kind == SchemaKind::array;
    if (composed && begins_as_json(word.value)) {
      auto value = parse_json(word.value);
      if (value && value->is_object() == (one->kind == SchemaKind::object)) return value;
    }
    if (one->kind == SchemaKind::enumeration) {
      const auto words = schema_.words(name);
      if (std::find(words.begin(), words.end(), word.value) != words.end()) return word.value;
    }
    if (one->kind != SchemaKind::builtin) continue;
    if (one->json_type == "string") as_string = word.value;
    if (one->json_type == "null" && word.value == "null") return Json(nullptr);
    if (one->json_type == "boolean") {
      if (const auto on = parse_switch(word.value)) return Json(*on);
    }
    if (one->json_type == "int") {
      if (auto n = parse_integer(word.value)) return n;
    }
    if (one->json_type == "number") {
      if (auto n = parse_number(word.value)) return n;
    }
  }
  return as_string;
}

// Puts a value at a.b.c; what is there twice becomes a list.
Result<void> put_by_look(Json& into, std::string_view path, const KeyValue& word) {
  Json* at = &into;
  while (true) {
    const size_t dot = path.find('.');
    at = &(*at)[std::string(path.substr(0, dot))];
    if (dot == std::string_view::npos) break;
    if (!at->is_null() && !at->is_object()) {
      return bad(in_quotes(word.key) + " is given whole and in parts");
    }
    path.remove_prefix(dot + 1);
  }
  Json value = word.raw ? TERN_TRY(json_value(word)) : value_by_look(word.value);
  if (at->is_null()) {
    *at = std::move(value);
  } else if (at->is_object()) {
    return bad(in_quotes(word.key) + " is given whole and in parts");
  } else {
    if (!at->is_array()) *at = Json::array({*at});
    at->push_back(std::move(value));
  }
  return {};
}

// NAME=on words as {"capability": NAME, "state": true}; `names` is empty if nobody knows them.
Result<Json> take_capabilities(std::vector<KeyValue>& words, const std::vector<std::string>& names,
                               bool known) {
  Json list = Json::array();
  std::vector<KeyValue> others;
  for (KeyValue& word : words) {
    if (word.raw || word.key == "capabilities" || word.key.starts_with("capabilities.")) {
      others.push_back(std::move(word));
      continue;
    }
    if (known && std::find(names.begin(), names.end(), word.key) == names.end()) {
      return bad("no capability " + in_quotes(word.key) + advice(word.key, names));
    }
    const auto on = parse_switch(word.value);
    if (!on) {
      return bad("capability " + in_quotes(word.key) + " cannot be " + in_quotes(word.value) +
                 "; possible: on, off");
    }
    list.push_back({{"capability", word.key}, {"state", *on}});
  }
  words = std::move(others);
  return list;
}

Result<Json> typed(const Schema& schema, const std::string& name, const SchemaEntity& command,
                   std::vector<KeyValue> words) {
  Json capabilities = Json::array();
  const std::string type = capability_type(schema, command);
  if (!type.empty()) {
    capabilities = TERN_TRY(take_capabilities(words, schema.words(type), true));
    if (!capabilities.empty() && words.empty()) return Json{{"capabilities", capabilities}};
    if (capabilities.empty() && words.empty()) {
      return bad("nothing to set: give capabilities as NAME=on or NAME=off" +
                 advice({}, schema.words(type)));
    }
  }
  Entries entries;
  entries.reserve(words.size());
  for (const KeyValue& word : words) entries.push_back({&word, word.key});
  // device_add takes the properties of any device, which no schema lists.
  const bool open = name == "device_add" || has_feature(command.features, "json-cli-hotplug");
  Json out = TERN_TRY(Builder(schema).object(command.arguments, entries, {}, open));
  for (Json& item : capabilities) out["capabilities"].push_back(std::move(item));
  return out;
}

Result<Json> by_look(const std::string& command, std::vector<KeyValue> words) {
  Json out = Json::object();
  if (command == "migrate-set-capabilities") {
    Json list = TERN_TRY(take_capabilities(words, {}, false));
    if (!list.empty()) out["capabilities"] = std::move(list);
  }
  for (const KeyValue& word : words) TERN_TRY(put_by_look(out, word.key, word));
  return out;
}

void add_members(const Schema& schema, std::string_view type, int depth,
                 const std::function<std::string(const std::string&)>& tag_value,
                 std::vector<const SchemaMember*>& out) {
  const SchemaEntity* entity = schema.find(type);
  if (entity == nullptr || depth == 0) return;
  for (const SchemaMember& member : entity->members) out.push_back(&member);
  if (entity->tag.empty()) return;
  const std::string word = tag_value(entity->tag);
  for (const SchemaVariant& variant : entity->variants) {
    if (variant.word == word) add_members(schema, variant.type, depth - 1, tag_value, out);
  }
}

}  // namespace

Result<KeyValue> parse_key_value(std::string_view word) noexcept {
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos) {
    return bad(in_quotes(word) + " is no argument: key=value is wanted, or key:=JSON");
  }
  const bool raw = equals > 0 && word[equals - 1] == ':';
  KeyValue out{std::string(word.substr(0, equals - (raw ? 1 : 0))),
               std::string(word.substr(equals + 1)), raw};
  if (out.key.empty()) return bad(in_quotes(word) + " has no key before its '='");
  return out;
}

Result<Json> build_arguments(const Schema* schema, const std::string& command,
                             const std::vector<std::string>& words) noexcept {
  if (words.size() > kMaxWords) return bad("more than " + std::to_string(kMaxWords) + " arguments");
  std::vector<KeyValue> given;
  for (const std::string& word : words) {
    if (!word.starts_with('{')) {
      given.push_back(TERN_TRY(parse_key_value(word)));
      continue;
    }
    const auto whole = parse_json(word);
    if (!whole || !whole->is_object()) return bad("not a JSON object: " + word);
    for (const auto& [key, value] : whole->items()) given.push_back({key, json_line(value), true});
  }
  const SchemaEntity* known = schema == nullptr ? nullptr : schema->command(command);
  Json out = known != nullptr ? TERN_TRY(typed(*schema, command, *known, std::move(given)))
                              : TERN_TRY(by_look(command, std::move(given)));
  return out.empty() ? Json(nullptr) : out;
}

std::vector<const SchemaMember*> members_of(
    const Schema& schema, std::string_view type,
    const std::function<std::string(const std::string& tag)>& tag_value) {
  std::vector<const SchemaMember*> out;
  add_members(schema, type, kMaxUnions, tag_value, out);
  return out;
}

std::string capability_type(const Schema& schema, const SchemaEntity& command) {
  const SchemaEntity* arguments = schema.find(command.arguments);
  if (arguments == nullptr) return {};
  for (const SchemaMember& member : arguments->members) {
    if (member.name != "capabilities") continue;
    const SchemaEntity* list = schema.find(member.type);
    const SchemaEntity* item = list == nullptr ? nullptr : schema.find(list->element);
    if (item == nullptr || item->members.size() != 2) return {};
    for (const SchemaMember& part : item->members) {
      if (part.name == "capability") return part.type;
    }
  }
  return {};
}

}  // namespace tern::tool
