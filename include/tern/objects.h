// SPDX-License-Identifier: Apache-2.0
//
// Objects that migrations use by their id, as QEMU's -object and object-add make them: TLS
// credentials, secrets, lists of who may connect. Types, properties and their help stand in one
// table (migration/objects/object_types.h), from which QMP and docs/reference/objects.md are made.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// Properties by name, all as text: booleans are "on" and "off". Members of lists have dotted
/// names: "rules.0.match".
using ObjectProperties = std::map<std::string, std::string, std::less<>>;

struct ObjectInfo {
  std::string id;
  std::string type;  ///< "tls-creds-x509"
};

class ObjectRegistry;

/// The objects of one VM. A migration that runs keeps what it uses, even if it is removed.
/// Thread rules: any thread.
class TERN_API ObjectStore {
 public:
  ObjectStore() noexcept;
  ~ObjectStore();
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;

  /// Makes an object; its files are read now. Errors: invalid_argument (type, id, property, file;
  /// the id is used already), resource_exhausted.
  Result<void> add(std::string_view type, std::string_view id,
                   const ObjectProperties& properties) noexcept;
  /// The same in one text, as QEMU's -object takes it: "TYPE,id=ID,NAME=VALUE…"; ",," in a value is
  /// a comma.
  Result<void> add_text(std::string_view text) noexcept;
  /// Errors: invalid_argument (no such object).
  Result<void> remove(std::string_view id) noexcept;
  /// In the order of their ids.
  std::vector<ObjectInfo> list() const noexcept;

  /// tern's own way in.
  const ObjectRegistry& registry() const noexcept { return *registry_; }

 private:
  std::unique_ptr<ObjectRegistry> registry_;
};

}  // namespace tern
