// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "transport/tls/context.h"
#include "transport/tls/psk_keys.h"

namespace tern::transport::tls {
namespace {

class PskCredentials final : public Credentials {
 public:
  static Result<std::shared_ptr<const Credentials>> create(const PskOptions& options) noexcept;

  SSL_CTX* context() const noexcept override { return context_.get(); }

 private:
  PskCredentials(const PskOptions& options, std::string file, std::vector<uint8_t> key,
                 SslContextPtr context) noexcept
      : Credentials(options.endpoint, false),
        file_(std::move(file)),
        username_(options.username),
        key_(std::string(key.begin(), key.end())),
        context_(std::move(context)) {
    OPENSSL_cleanse(key.data(), key.size());
    SSL_CTX_set_app_data(context_.get(), this);
  }

  static const PskCredentials& of(const SSL* ssl) noexcept {
    return *static_cast<const PskCredentials*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }
  static unsigned on_client(SSL* ssl, const char* hint, char* identity, unsigned identity_size,
                            unsigned char* key, unsigned key_size) noexcept;
  static unsigned on_server(SSL* ssl, const char* identity, unsigned char* key,
                            unsigned key_size) noexcept;
  /// A certificate where a shared key was expected.
  static int on_certificate(int ok, X509_STORE_CTX* store) noexcept;

  const std::string file_;
  const std::string username_;
  const Secret key_;  // a client's
  const SslContextPtr context_;
};

HandshakeNotes& notes_of(SSL* ssl) noexcept {
  return *static_cast<HandshakeNotes*>(SSL_get_app_data(ssl));
}

// Both callbacks serve TLS 1.2 and 1.3; for the latter the key belongs to SHA-256.
unsigned PskCredentials::on_client(SSL* ssl, const char*, char* identity, unsigned identity_size,
                                   unsigned char* key, unsigned key_size) noexcept {
  const PskCredentials& self = of(ssl);
  const std::string_view bytes = self.key_.bytes();
  if (self.username_.size() >= identity_size || bytes.size() > key_size) return 0;
  std::memcpy(identity, self.username_.c_str(), self.username_.size() + 1);
  std::memcpy(key, bytes.data(), bytes.size());
  return static_cast<unsigned>(bytes.size());
}

unsigned PskCredentials::on_server(SSL* ssl, const char* identity, unsigned char* key,
                                   unsigned key_size) noexcept {
  const PskCredentials& self = of(ssl);
  // Read anew for each connection, as QEMU does: users come and go without a new object.
  const auto keys = read_psk_keys(self.file_);
  HandshakeNotes& notes = notes_of(ssl);
  if (!keys) {
    notes.problem = keys.error().message();
    return 0;
  }
  const auto found = keys->find(std::string_view(identity));
  if (found == keys->end() || found->second.size() > key_size) {
    notes.problem = "the client is user '" + std::string(identity).substr(0, kMaxPskNameBytes) +
                    "', which has no key in " + self.file_;
    return 0;
  }
  std::copy(found->second.begin(), found->second.end(), key);
  return static_cast<unsigned>(found->second.size());
}

int PskCredentials::on_certificate(int, X509_STORE_CTX* store) noexcept {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  notes_of(ssl).problem =
      "the server shows a certificate instead of taking the shared key: is its tls-creds a "
      "tls-creds-psk that knows user '" +
      of(ssl).username_ + "'?";
  return 0;
}

Result<std::shared_ptr<const Credentials>> PskCredentials::create(
    const PskOptions& options) noexcept {
  const CipherPolicy policy = TERN_TRY(policy_from_priority(options.priority, true));
  if (options.username.empty() || options.username.size() > kMaxPskNameBytes) {
    return Error(ErrorCode::invalid_argument,
                 "username must have 1 to " + std::to_string(kMaxPskNameBytes) + " bytes");
  }
  std::string file = options.dir + "/keys.psk";
  if (::access(file.c_str(), R_OK) != 0) {
    return errno_error(ErrorCode::invalid_argument, "Unable to access credentials " + file, errno);
  }
  const PskKeys keys = TERN_TRY(read_psk_keys(file));
  std::vector<uint8_t> key;
  if (options.endpoint == Endpoint::client) {
    const auto found = keys.find(options.username);
    if (found == keys.end()) {
      return Error(ErrorCode::invalid_argument,
                   "PSK username '" + options.username + "' has no key in " + file);
    }
    key = found->second;
  }
  SslContextPtr context = TERN_TRY(make_context(options.endpoint, policy));
  if (options.endpoint == Endpoint::client) {
    SSL_CTX_set_psk_client_callback(context.get(), on_client);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, on_certificate);
  } else {
    SSL_CTX_set_psk_server_callback(context.get(), on_server);
  }
  return std::shared_ptr<const Credentials>(
      new PskCredentials(options, std::move(file), std::move(key), std::move(context)));
}

}  // namespace

Result<std::shared_ptr<const Credentials>> Credentials::psk(const PskOptions& options) noexcept {
  return PskCredentials::create(options);
}

}  // namespace tern::transport::tls
