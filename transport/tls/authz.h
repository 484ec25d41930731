// SPDX-License-Identifier: Apache-2.0
//
// Who may: lists of identities (names of certificates), as QEMU's authz objects. Knows no TLS.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"

namespace tern::transport::tls {

/// Any thread.
class Authz {
 public:
  virtual ~Authz() = default;
  /// Errors: invalid_argument when the list cannot be read: nobody may.
  virtual Result<bool> allows(std::string_view identity) const noexcept = 0;
};

enum class AuthzPolicy { deny, allow };
enum class AuthzFormat { exact, glob };
struct AuthzRule {
  std::string match;
  AuthzPolicy policy = AuthzPolicy::deny;
  AuthzFormat format = AuthzFormat::exact;
};
/// The first rule that matches decides.
struct AuthzRules {
  std::vector<AuthzRule> rules;
  AuthzPolicy policy = AuthzPolicy::deny;  // when none does
};

inline constexpr size_t kMaxAuthzRules = 4096;
inline constexpr size_t kMaxAuthzFileBytes = 1u << 20;

/// "*" is any text, "?" any one byte.
bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

std::shared_ptr<const Authz> make_authz_simple(std::string identity) noexcept;
/// Errors: invalid_argument (too many rules).
Result<std::shared_ptr<const Authz>> make_authz_list(AuthzRules rules) noexcept;
/// The rules as JSON in a file, read now and, with `refresh`, whenever the file has changed since.
/// Errors: invalid_argument.
Result<std::shared_ptr<const Authz>> make_authz_list_file(std::string filename,
                                                          bool refresh) noexcept;

}  // namespace tern::transport::tls
