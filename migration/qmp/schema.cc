// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/schema.h"

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "migration/qmp/command_table.h"
#include "migration/qmp/event_table.h"

namespace tern::qmp {
namespace {

class SchemaWriter {
 public:
  Json write() noexcept {
    for (const CommandRow& row : command_table()) add_command(row);
    for (const EventRow& row : event_table()) {
      add({{"name", row.name}, {"meta-type", "event"}, {"arg-type", name_of(*row.data)}});
    }
    while (!waiting_.empty()) {
      const auto [type, name] = waiting_.front();
      waiting_.pop_front();
      describe(*type, name);
    }
    return std::move(entities_);
  }

 private:
  void add(Json entity) noexcept { entities_.push_back(std::move(entity)); }

  static void put_features(Json& entity, Features features) noexcept {
    Json list = Json::array();
    if ((features & kDeprecated) != 0) list.push_back("deprecated");
    if ((features & kUnstable) != 0) list.push_back("unstable");
    if (!list.empty()) entity["features"] = std::move(list);
  }

  void add_command(const CommandRow& row) noexcept {
    Json entity = {{"name", row.name},
                   {"meta-type", "command"},
                   {"arg-type", name_of(*row.arguments)},
                   {"ret-type", name_of(*row.returns)}};
    if (row.allow_oob) entity["allow-oob"] = true;
    put_features(entity, row.features);
    add(std::move(entity));
  }

  // All widths of integers are one builtin to a client.
  static std::pair<const char*, const char*> builtin(Kind kind) noexcept {
    switch (kind) {
      case Kind::string:
        return {"str", "string"};
      case Kind::boolean:
        return {"bool", "boolean"};
      case Kind::number:
        return {"number", "number"};
      case Kind::integer:
      case Kind::uint8:
      case Kind::uint16:
      case Kind::uint32:
      case Kind::uint64:
        return {"int", "int"};
      default:
        return {nullptr, nullptr};
    }
  }

  std::string builtin_name(const char* name, const char* json_type) noexcept {
    if (builtins_.insert(name).second) {
      add({{"name", name}, {"meta-type", "builtin"}, {"json-type", json_type}});
    }
    return name;
  }

  std::string name_of(const QapiType& type) noexcept {
    if (const auto [name, json_type] = builtin(type.kind); name != nullptr) {
      return builtin_name(name, json_type);
    }
    if (type.kind == Kind::array) {
      const std::string element = name_of(*type.element);
      const std::string name = "[" + element + "]";
      if (builtins_.insert(name).second) {
        add({{"name", name}, {"meta-type", "array"}, {"element-type", element}});
      }
      return name;
    }
    const auto [place, fresh] = numbers_.try_emplace(&type, std::to_string(numbers_.size()));
    if (fresh) waiting_.emplace_back(&type, place->second);
    return place->second;
  }

  void describe(const QapiType& type, const std::string& name) noexcept {
    if (type.kind == Kind::enumeration) return describe_enum(type, name);
    if (type.kind == Kind::string_or_null) {
      Json members = Json::array();
      members.push_back({{"type", builtin_name("str", "string")}});
      members.push_back({{"type", builtin_name("null", "null")}});
      return add({{"name", name}, {"meta-type", "alternate"}, {"members", std::move(members)}});
    }
    describe_object(type, name);
  }

  void describe_enum(const QapiType& type, const std::string& name) noexcept {
    Json members = Json::array();
    Json values = Json::array();
    for (size_t i = 0; i < type.words.size(); ++i) {
      Json member = {{"name", type.words[i]}};
      if (!type.word_features.empty()) put_features(member, type.word_features[i]);
      members.push_back(std::move(member));
      values.push_back(type.words[i]);
    }
    add({{"name", name},
         {"meta-type", "enum"},
         {"members", std::move(members)},
         {"values", std::move(values)}});
  }

  void describe_object(const QapiType& type, const std::string& name) noexcept {
    Json members = Json::array();
    for (const QapiMember& member : type.members) {
      Json entry = {{"name", member.name}, {"type", name_of(*member.type)}};
      if (member.optional) entry["default"] = nullptr;
      put_features(entry, member.features);
      members.push_back(std::move(entry));
    }
    Json entity = {{"name", name}, {"meta-type", "object"}, {"members", std::move(members)}};
    if (type.kind == Kind::flat_union) {
      entity["tag"] = type.tag;
      entity["variants"] = variants_of(type);
    }
    add(std::move(entity));
  }

  // Every word of the tag has its case; one without members of its own is the empty object.
  Json variants_of(const QapiType& type) noexcept {
    const QapiType* tag = nullptr;
    for (const QapiMember& member : type.members) {
      if (member.name == type.tag) tag = member.type;
    }
    Json cases = Json::array();
    for (const std::string_view word : tag->words) {
      const QapiType* chosen = &kEmpty;
      for (const QapiVariant& variant : type.variants) {
        if (variant.tag_value == word) chosen = variant.type;
      }
      cases.push_back({{"case", word}, {"type", name_of(*chosen)}});
    }
    return cases;
  }

  Json entities_ = Json::array();
  std::set<std::string> builtins_;  // and arrays: what is known by its name
  std::map<const QapiType*, std::string> numbers_;
  std::deque<std::pair<const QapiType*, std::string>> waiting_;
};

}  // namespace

Json schema_json() noexcept { return SchemaWriter().write(); }

}  // namespace tern::qmp
