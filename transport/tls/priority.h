// SPDX-License-Identifier: Apache-2.0
//
// GnuTLS priority strings, as QEMU's `priority` property takes them, in OpenSSL's words. What has
// no meaning here is refused by name: a restriction that were ignored would be none.
#pragma once

#include <string>
#include <string_view>

#include "tern/result.h"

namespace tern::transport::tls {

struct CipherPolicy {
  bool tls12 = true;
  bool tls13 = true;
  std::string ciphers12;  // colon-separated, best first
  std::string ciphers13;
};

/// "" is NORMAL. `psk`: for keys shared beforehand instead of certificates. Errors:
/// invalid_argument.
Result<CipherPolicy> policy_from_priority(std::string_view priority, bool psk) noexcept;

}  // namespace tern::transport::tls
