// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/context.h"

#include <utility>

namespace tern::transport::tls {

Result<SslContextPtr> make_context(Endpoint endpoint, const CipherPolicy& policy) noexcept {
  ERR_clear_error();
  SslContextPtr context(
      SSL_CTX_new(endpoint == Endpoint::server ? TLS_server_method() : TLS_client_method()));
  if (!context) return Error(ErrorCode::resource_exhausted, "TLS: " + openssl_reason());
  SSL_CTX* c = context.get();
  // No tickets: a QEMU source never reads its one-way connections, unread tickets would turn its
  // close into a reset that takes delivered data with it.
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE);
  const bool quiet = SSL_CTX_set_num_tickets(c, 0) == 1;
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_dh_auto(c, 1);
  // What is in our file is sent, and not the CA that a peer has or does not have.
  SSL_CTX_set_mode(c, SSL_MODE_NO_AUTO_CHAIN);
  const bool set =
      quiet &&
      SSL_CTX_set_min_proto_version(c, policy.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(c, policy.tls13 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_cipher_list(c, policy.ciphers12.c_str()) == 1 &&
      SSL_CTX_set_ciphersuites(c, policy.ciphers13.c_str()) == 1;
  if (!set) return Error(ErrorCode::invalid_argument, "TLS: " + openssl_reason());
  return context;
}

}  // namespace tern::transport::tls
