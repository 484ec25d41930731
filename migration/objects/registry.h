// SPDX-License-Identifier: Apache-2.0
//
// The objects behind an ObjectStore, and the ways in which the rest of tern asks for them. Whoever
// got one keeps it, whatever becomes of the registry.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "migration/objects/object_types.h"
#include "tern/objects.h"
#include "transport/tls/authz.h"
#include "transport/tls/credentials.h"
#include "transport/tls/secret.h"

namespace tern {

/// Thread rules: any thread.
class ObjectRegistry {
 public:
  using Credentials = std::shared_ptr<const transport::tls::Credentials>;
  using Authz = std::shared_ptr<const transport::tls::Authz>;
  using Secret = std::shared_ptr<const transport::tls::Secret>;

  static constexpr size_t kMaxObjects = 1024;
  static constexpr size_t kMaxIdBytes = 255;
  static constexpr size_t kMaxValueBytes = 64u << 10;

  Result<void> add(std::string_view type, std::string_view id,
                   const ObjectProperties& properties) noexcept TERN_EXCLUDES(mutex_);
  Result<void> remove(std::string_view id) noexcept TERN_EXCLUDES(mutex_);
  std::vector<ObjectInfo> list() const noexcept TERN_EXCLUDES(mutex_);
  /// nullptr for an unknown id.
  const objects::ObjectTypeRow* type_of(std::string_view id) const noexcept TERN_EXCLUDES(mutex_);

  // Errors: invalid_argument in QEMU's words.
  Result<Credentials> credentials(std::string_view id,
                                  transport::tls::Endpoint endpoint) const noexcept
      TERN_EXCLUDES(mutex_);
  Result<Authz> authz(std::string_view id) const noexcept TERN_EXCLUDES(mutex_);
  Result<Secret> secret(std::string_view id) const noexcept TERN_EXCLUDES(mutex_);

 private:
  using Value = std::variant<Credentials, Authz, Secret>;
  struct Object {
    const objects::ObjectTypeRow* row;
    Value value;
  };

  Result<Value> make(const objects::ObjectTypeRow& row,
                     const ObjectProperties& properties) const noexcept;
  Result<Value> make_x509(const ObjectProperties& properties) const noexcept;
  /// The object; nothing for an unknown id.
  const Object* find(std::string_view id) const noexcept TERN_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_ TERN_GUARDED_BY(mutex_);
};

}  // namespace tern
