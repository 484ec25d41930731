// SPDX-License-Identifier: Apache-2.0
#include "migration/objects/registry.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace tern {

using objects::ObjectType;
using objects::ObjectTypeRow;
using objects::PropertyKind;
using objects::PropertyRow;
namespace tls = transport::tls;

namespace {

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

std::string shown(std::string_view text) noexcept {
  constexpr size_t kShown = 256;
  return "'" + std::string(text.substr(0, kShown)) + "'";
}

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

Result<void> check_id(std::string_view id) noexcept {
  const bool fine =
      !id.empty() && id.size() <= ObjectRegistry::kMaxIdBytes && is_letter(id[0]) &&
      std::all_of(id.begin(), id.end(), [](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
      });
  return fine ? Result<void>() : bad("Parameter 'id' expects an identifier");
}

std::optional<std::string> text_of(const ObjectProperties& properties, std::string_view name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return std::nullopt;
  return found->second;
}
std::string text_or(const ObjectProperties& properties, std::string_view name,
                    std::string_view otherwise) {
  return text_of(properties, name).value_or(std::string(otherwise));
}
bool flag_or(const ObjectProperties& properties, std::string_view name, bool otherwise) {
  return text_or(properties, name, otherwise ? "on" : "off") == "on";
}

/// A value against its row; `path` names it in the error.
Result<void> check_value(const PropertyRow& row, std::string_view value,
                         const std::string& path) noexcept {
  if (value.size() > ObjectRegistry::kMaxValueBytes || value.find('\0') != std::string_view::npos) {
    return bad("Parameter '" + path + "' is too long or has a NUL character");
  }
  if (row.kind == PropertyKind::boolean && value != "on" && value != "off") {
    return bad("Parameter '" + path + "' expects 'on' or 'off'");
  }
  if (row.kind == PropertyKind::word &&
      std::find(row.words.begin(), row.words.end(), value) == row.words.end()) {
    return bad("Parameter '" + std::string(row.name) + "' does not accept value " + shown(value));
  }
  return {};
}

/// nullptr for an unknown name.
const PropertyRow* row_of(const ObjectTypeRow& type, std::string_view name) noexcept {
  for (const PropertyRow& row : type.properties) {
    const bool member = row.kind == PropertyKind::rules && name.starts_with(row.name) &&
                        name.substr(row.name.size()).starts_with('.');
    if (member || (row.kind != PropertyKind::rules && name == row.name)) return &row;
  }
  return nullptr;
}

Result<void> check_properties(const ObjectTypeRow& type,
                              const ObjectProperties& properties) noexcept {
  for (const auto& [name, value] : properties) {
    const PropertyRow* row = row_of(type, name);
    if (row == nullptr) return bad("Parameter " + shown(name) + " is unexpected");
    if (row->kind != PropertyKind::rules) TERN_TRY(check_value(*row, value, name));
  }
  for (const PropertyRow& row : type.properties) {
    if (!row.required || properties.contains(row.name)) continue;
    // As in QEMU: its TLS objects have their own word for it.
    if (row.name == "dir") return bad("Missing 'dir' property value");
    return bad("Parameter '" + std::string(row.name) + "' is missing");
  }
  return {};
}

/// "rules.3.match" is member match of rule 3.
Result<std::pair<size_t, const PropertyRow*>> rule_member(std::string_view name) noexcept {
  std::string_view rest = name.substr(name.find('.') + 1);
  size_t index = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  if (error == std::errc() && index < tls::kMaxAuthzRules && rest.starts_with('.')) {
    rest.remove_prefix(1);
    for (const PropertyRow& row : objects::kRuleRows) {
      if (row.name == rest) return std::pair(index, &row);
    }
  }
  return bad("Parameter " + shown(name) + " is unexpected");
}

Result<tls::AuthzRules> rules_of(const ObjectProperties& properties) noexcept {
  tls::AuthzRules rules;
  rules.policy = text_or(properties, "policy", "deny") == "allow" ? tls::AuthzPolicy::allow
                                                                  : tls::AuthzPolicy::deny;
  std::map<size_t, ObjectProperties> members;
  for (const auto& [name, value] : properties) {
    if (!name.starts_with("rules.")) continue;
    const auto [index, row] = TERN_TRY(rule_member(name));
    TERN_TRY(check_value(*row, value, name));
    members[index].emplace(row->name, value);
  }
  for (const auto& [index, rule] : members) {
    const std::string path = "rules[" + std::to_string(index) + "]";
    if (index != rules.rules.size()) {
      return bad("Parameter 'rules." + std::to_string(rules.rules.size()) + "' is missing");
    }
    for (const PropertyRow& row : objects::kRuleRows) {
      if (row.required && !rule.contains(row.name)) {
        return bad("Parameter '" + path + "." + std::string(row.name) + "' is missing");
      }
    }
    rules.rules.push_back(
        {text_or(rule, "match", ""),
         text_or(rule, "policy", "") == "allow" ? tls::AuthzPolicy::allow : tls::AuthzPolicy::deny,
         text_or(rule, "format", "exact") == "glob" ? tls::AuthzFormat::glob
                                                    : tls::AuthzFormat::exact});
  }
  return rules;
}

Result<ObjectRegistry::Secret> make_secret(const ObjectProperties& properties) noexcept {
  const auto data = text_of(properties, "data");
  const auto file = text_of(properties, "file");
  if (data && file) return bad("'file' and 'data' are mutually exclusive");
  if (!data && !file) return bad("Either 'file' or 'data' must be provided");
  const bool base64 = text_or(properties, "format", "raw") == "base64";
  auto secret = TERN_TRY(data ? tls::Secret::from_text(*data, base64)
                              : tls::Secret::from_file(*file, base64));
  return ObjectRegistry::Secret(std::make_shared<const tls::Secret>(std::move(secret)));
}

tls::Endpoint endpoint_of(const ObjectProperties& properties) noexcept {
  return text_or(properties, "endpoint", "client") == "server" ? tls::Endpoint::server
                                                               : tls::Endpoint::client;
}

}  // namespace

const ObjectTypeRow* objects::find_object_type(std::string_view name) noexcept {
  for (const ObjectTypeRow& row : kObjectTypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const ObjectRegistry::Object* ObjectRegistry::find(std::string_view id) const noexcept {
  const auto found = objects_.find(id);
  return found == objects_.end() ? nullptr : &found->second;
}

Result<void> ObjectRegistry::add(std::string_view type, std::string_view id,
                                 const ObjectProperties& properties) noexcept {
  const ObjectTypeRow* row = objects::find_object_type(type);
  if (row == nullptr) {
    return bad("Parameter 'qom-type' does not accept value " + shown(type));
  }
  TERN_TRY(check_properties(*row, properties));
  TERN_TRY(check_id(id));
  // Without the lock: it reads files, and looks other objects up.
  Value value = TERN_TRY(make(*row, properties));
  const MutexLock lock(mutex_);
  if (find(id) != nullptr) {
    return bad("attempt to add duplicate property '" + std::string(id) +
               "' to object (type 'container')");
  }
  if (objects_.size() >= kMaxObjects) {
    return Error(ErrorCode::resource_exhausted,
                 "there are " + std::to_string(kMaxObjects) + " objects already");
  }
  objects_.emplace(id, Object{row, std::move(value)});
  return {};
}

Result<ObjectRegistry::Value> ObjectRegistry::make(
    const ObjectTypeRow& row, const ObjectProperties& properties) const noexcept {
  switch (row.type) {
    case ObjectType::authz_list: {
      auto rules = TERN_TRY(rules_of(properties));
      return Value(TERN_TRY(tls::make_authz_list(std::move(rules))));
    }
    case ObjectType::authz_list_file:
      return Value(TERN_TRY(tls::make_authz_list_file(text_or(properties, "filename", ""),
                                                      flag_or(properties, "refresh", true))));
    case ObjectType::authz_simple:
      return Value(tls::make_authz_simple(text_or(properties, "identity", "")));
    case ObjectType::secret:
      return Value(TERN_TRY(make_secret(properties)));
    case ObjectType::tls_creds_psk:
      return Value(TERN_TRY(tls::Credentials::psk(
          {text_or(properties, "dir", ""), endpoint_of(properties),
           text_or(properties, "username", "qemu"), text_or(properties, "priority", "")})));
    case ObjectType::tls_creds_x509:
      return make_x509(properties);
  }
  return Error(ErrorCode::internal, "a type of object without a maker");
}

Result<ObjectRegistry::Value> ObjectRegistry::make_x509(
    const ObjectProperties& properties) const noexcept {
  Secret password;
  if (const auto id = text_of(properties, "passwordid")) password = TERN_TRY(secret(*id));
  tls::X509Options options;
  options.dir = text_or(properties, "dir", "");
  options.endpoint = endpoint_of(properties);
  options.verify_peer = flag_or(properties, "verify-peer", true);
  options.sanity_check = flag_or(properties, "sanity-check", true);
  options.priority = text_or(properties, "priority", "");
  options.password = password.get();
  return Value(TERN_TRY(tls::Credentials::x509(options)));
}

Result<void> ObjectRegistry::remove(std::string_view id) noexcept {
  const MutexLock lock(mutex_);
  const auto found = objects_.find(id);
  if (found == objects_.end()) return bad("object " + shown(id) + " not found");
  objects_.erase(found);
  return {};
}

std::vector<ObjectInfo> ObjectRegistry::list() const noexcept {
  const MutexLock lock(mutex_);
  std::vector<ObjectInfo> all;
  for (const auto& [id, object] : objects_) all.push_back({id, std::string(object.row->name)});
  return all;
}

const ObjectTypeRow* ObjectRegistry::type_of(std::string_view id) const noexcept {
  const MutexLock lock(mutex_);
  const Object* object = find(id);
  return object == nullptr ? nullptr : object->row;
}

Result<ObjectRegistry::Credentials> ObjectRegistry::credentials(
    std::string_view id, tls::Endpoint endpoint) const noexcept {
  const MutexLock lock(mutex_);
  const Object* object = find(id);
  if (object == nullptr) return bad("No TLS credentials with id " + shown(id));
  const auto* credentials = std::get_if<Credentials>(&object->value);
  if (credentials == nullptr) return bad("Object with id " + shown(id) + " is not TLS credentials");
  if ((*credentials)->endpoint() != endpoint) {
    return bad("Expected TLS credentials for a " + std::string(to_string(endpoint)) + " endpoint");
  }
  return *credentials;
}

Result<ObjectRegistry::Authz> ObjectRegistry::authz(std::string_view id) const noexcept {
  const MutexLock lock(mutex_);
  const Object* object = find(id);
  if (object == nullptr) return bad("Cannot find QAuthZ object ID " + std::string(id));
  const auto* authz = std::get_if<Authz>(&object->value);
  if (authz == nullptr) return bad("Object " + shown(id) + " is not a QAuthZ subclass");
  return *authz;
}

Result<ObjectRegistry::Secret> ObjectRegistry::secret(std::string_view id) const noexcept {
  const MutexLock lock(mutex_);
  const Object* object = find(id);
  if (object == nullptr) return bad("No secret with id " + shown(id));
  const auto* secret = std::get_if<Secret>(&object->value);
  if (secret == nullptr) return bad("Object with id " + shown(id) + " is not a secret");
  return *secret;
}

}  // namespace tern
