// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "migration/objects/registry.h"
#include "tern/objects.h"

namespace tern {
namespace {

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

/// Takes the text up to the next single comma; ",," is a comma of the value.
std::string next_part(std::string_view& rest) noexcept {
  std::string part;
  while (!rest.empty()) {
    const bool comma = rest[0] == ',';
    rest.remove_prefix(1);
    if (!comma) {
      part += *(rest.data() - 1);
      continue;
    }
    if (!rest.starts_with(',')) break;
    part += ',';
    rest.remove_prefix(1);
  }
  return part;
}

}  // namespace

ObjectStore::ObjectStore() noexcept : registry_(std::make_unique<ObjectRegistry>()) {}
ObjectStore::~ObjectStore() = default;

Result<void> ObjectStore::add(std::string_view type, std::string_view id,
                              const ObjectProperties& properties) noexcept {
  return registry_->add(type, id, properties);
}

Result<void> ObjectStore::add_text(std::string_view text) noexcept {
  ObjectProperties properties;
  const std::string type = next_part(text);
  while (!text.empty()) {
    const std::string part = next_part(text);
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) return bad("'" + part + "' is not NAME=VALUE");
    if (!properties.emplace(part.substr(0, equals), part.substr(equals + 1)).second) {
      return bad("'" + part.substr(0, equals) + "' is given twice");
    }
  }
  const auto id = properties.find("id");
  if (id == properties.end()) return bad("Parameter 'id' is missing");
  const std::string name = id->second;
  properties.erase(id);
  return registry_->add(type, name, properties);
}

Result<void> ObjectStore::remove(std::string_view id) noexcept { return registry_->remove(id); }

std::vector<ObjectInfo> ObjectStore::list() const noexcept { return registry_->list(); }

}  // namespace tern
