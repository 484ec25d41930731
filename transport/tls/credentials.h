// SPDX-License-Identifier: Apache-2.0
//
// Who we are to a TLS peer and whom we believe: certificates in a directory, or keys shared
// beforehand. Files are read once, when the credentials are made, but for a server's keys.psk.
// Knows nothing of connections.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tern/result.h"
#include "transport/tls/secret.h"

using SSL_CTX = struct ssl_ctx_st;

namespace tern::transport::tls {

enum class Endpoint { client, server };
std::string_view to_string(Endpoint endpoint) noexcept;

struct X509Options {
  std::string dir;  // ca-cert.pem, ca-crl.pem, {server,client}-{cert,key}.pem
  Endpoint endpoint = Endpoint::client;
  /// A client checks the server's certificate always when it is on; a server asks for one.
  bool verify_peer = true;
  /// Look at our own certificates now, not at the first connection.
  bool sanity_check = true;
  std::string priority;
  const Secret* password = nullptr;  // of the private key; used during the call only
};
struct PskOptions {
  std::string dir;  // keys.psk
  Endpoint endpoint = Endpoint::client;
  std::string username = "qemu";  // a client's
  std::string priority;
};

/// Immutable. Any thread; connections share it.
class Credentials {
 public:
  /// Errors: invalid_argument, naming the file or the property.
  static Result<std::shared_ptr<const Credentials>> x509(const X509Options& options) noexcept;
  static Result<std::shared_ptr<const Credentials>> psk(const PskOptions& options) noexcept;

  virtual ~Credentials() = default;
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  Endpoint endpoint() const noexcept { return endpoint_; }
  /// Whether a client must know the name of the server that it talks to.
  bool needs_hostname() const noexcept { return needs_hostname_; }
  /// Whether a server lets nobody in without a certificate.
  bool asks_for_certificate() const noexcept { return asks_for_certificate_; }
  /// OpenSSL's SSL_CTX with all of it.
  virtual SSL_CTX* context() const noexcept = 0;

 protected:
  /// `certificates`: the peer must show one.
  Credentials(Endpoint endpoint, bool certificates) noexcept
      : endpoint_(endpoint),
        needs_hostname_(certificates && endpoint == Endpoint::client),
        asks_for_certificate_(certificates && endpoint == Endpoint::server) {}

 private:
  const Endpoint endpoint_;
  const bool needs_hostname_;
  const bool asks_for_certificate_;
};

/// What the callbacks of a handshake find out: OpenSSL's own errors say less. Its address is the
/// application data of the SSL object.
struct HandshakeNotes {
  std::string hostname;  // that is looked for in the server's certificate
  std::string problem;   // "" while there is none
};

}  // namespace tern::transport::tls
