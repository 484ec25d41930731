// SPDX-License-Identifier: Apache-2.0
//
// What all our TLS connections have in common, whatever credentials they use.
#pragma once

#include "tern/result.h"
#include "transport/tls/credentials.h"
#include "transport/tls/openssl.h"
#include "transport/tls/priority.h"

namespace tern::transport::tls {

/// TLS 1.2 and 1.3 as `policy` allows; no tickets, no resumption, no renegotiation, no compression.
/// Errors: invalid_argument, resource_exhausted.
Result<SslContextPtr> make_context(Endpoint endpoint, const CipherPolicy& policy) noexcept;

}  // namespace tern::transport::tls
