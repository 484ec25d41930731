// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "transport/tls/context.h"
#include "transport/tls/distinguished_name.h"

namespace tern::transport::tls {
namespace {

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

std::string time_text(const ASN1_TIME* time) noexcept {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  char* text = nullptr;
  if (!bio || ASN1_TIME_print(bio.get(), time) != 1) return "an unreadable time";
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(length)};
}

/// All names that the certificate is for: "host1, 192.0.2.7", or the common name.
std::string names_in(X509* certificate) noexcept {
  std::string names;
  const auto add = [&names](std::string_view name) {
    if (!names.empty()) names += ", ";
    names += name;
  };
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; all != nullptr && i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type == GEN_DNS) {
      add({reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
           static_cast<size_t>(ASN1_STRING_length(name->d.dNSName))});
    } else if (name->type == GEN_IPADD) {
      const BioPtr bio(BIO_new(BIO_s_mem()));
      if (!bio || GENERAL_NAME_print(bio.get(), const_cast<GENERAL_NAME*>(name)) != 1) continue;
      char* text = nullptr;
      const long length = BIO_get_mem_data(bio.get(), &text);
      std::string_view printed(text, static_cast<size_t>(length));
      add(printed.substr(std::min(printed.size(), printed.find(':') + 1)));
    }
  }
  GENERAL_NAMES_free(all);
  if (names.empty()) names = distinguished_name(X509_get_subject_name(certificate));
  return names;
}

/// The chain leads to nobody whom we know.
bool is_unknown(int code) noexcept {
  switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return true;
    default:
      return false;
  }
}

/// What is wrong with a certificate, `whose` it is.
std::string verify_problem(X509_STORE_CTX* store, const std::string& whose,
                           const std::string& hostname) noexcept {
  const int code = X509_STORE_CTX_get_error(store);
  X509* certificate =
      is_unknown(code) ? X509_STORE_CTX_get0_cert(store) : X509_STORE_CTX_get_current_cert(store);
  std::string who = whose + " certificate";
  if (certificate != nullptr) {
    const std::string name = distinguished_name(X509_get_subject_name(certificate));
    // Of a chain the one that is at fault.
    if (X509_STORE_CTX_get_error_depth(store) > 0 && !is_unknown(code)) who = "the CA certificate";
    who += " (" + name + ")";
  }
  if (is_unknown(code)) {
    return who + " was not issued by the CA in ca-cert.pem (" +
           X509_verify_cert_error_string(code) + ")";
  }
  switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "Certificate does not match the hostname " + hostname +
             (certificate != nullptr ? ": it is for " + names_in(certificate) : "");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return who + " has expired" +
             (certificate != nullptr ? " on " + time_text(X509_get0_notAfter(certificate)) : "");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return who + " is not valid yet" +
             (certificate != nullptr ? ", not before " + time_text(X509_get0_notBefore(certificate))
                                     : "");
    case X509_V_ERR_CERT_REVOKED:
      return who + " has been revoked";
    case X509_V_ERR_INVALID_PURPOSE:
      return who + " may not be used for this side (extended key usage)";
    default:
      return who + ": " + X509_verify_cert_error_string(code);
  }
}

// OpenSSL's callbacks have no way to pass on what they found, but for the application data.
int on_verify(int ok, X509_STORE_CTX* store) noexcept {
  if (ok == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* notes = static_cast<HandshakeNotes*>(SSL_get_app_data(ssl));
  if (notes->problem.empty()) {
    notes->problem = verify_problem(
        store, SSL_is_server(ssl) != 0 ? "the client's" : "the server's", notes->hostname);
  }
  return 0;
}

struct Password {
  const Secret* secret;
  bool asked = false;
};
int on_password(char* into, int size, int, void* user) noexcept {
  auto* password = static_cast<Password*>(user);
  password->asked = true;
  if (password->secret == nullptr) return -1;
  const std::string_view bytes = password->secret->bytes();
  if (bytes.size() > static_cast<size_t>(size)) return -1;
  std::memcpy(into, bytes.data(), bytes.size());
  return static_cast<int>(bytes.size());
}

class Loader {
 public:
  Loader(const X509Options& options, SSL_CTX* context) noexcept
      : options_(options), context_(context) {}

  Result<void> load() noexcept {
    const std::string ca = TERN_TRY(present("ca-cert.pem", true));
    if (SSL_CTX_load_verify_file(context_, ca.c_str()) != 1) return unusable(ca);
    // As GnuTLS does: whatever stands in the file is believed, an intermediate CA, too.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_), X509_V_FLAG_PARTIAL_CHAIN);
    TERN_TRY(load_revoked());
    const bool server = options_.endpoint == Endpoint::server;
    const std::string role(to_string(options_.endpoint));
    const std::string certificate = TERN_TRY(present(role + "-cert.pem", server));
    const std::string key = TERN_TRY(present(role + "-key.pem", server));
    if (certificate.empty() != key.empty()) {
      return bad("Unable to access credentials " + path(role + (key.empty() ? "-key" : "-cert")) +
                 ".pem: a certificate and its key belong together");
    }
    if (!certificate.empty()) TERN_TRY(load_own(certificate, key));
    if (server && options_.verify_peer) TERN_TRY(ask_client(ca));
    const int mode = !options_.verify_peer ? SSL_VERIFY_NONE
                     : server              ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                           : SSL_VERIFY_PEER;
    SSL_CTX_set_verify(context_, mode, options_.verify_peer ? on_verify : nullptr);
    return {};
  }

 private:
  std::string path(const std::string& name) const noexcept { return options_.dir + "/" + name; }

  /// The path of a file that is there; "" if it is not and need not be.
  Result<std::string> present(const std::string& name, bool required) const noexcept {
    std::string file = path(name);
    if (::access(file.c_str(), R_OK) == 0) return file;
    if (errno == ENOENT && !required) return std::string();
    return errno_error(ErrorCode::invalid_argument, "Unable to access credentials " + file, errno);
  }

  static Error unusable(const std::string& file) noexcept {
    return bad("Unable to load " + file + ": " + openssl_reason());
  }

  Result<void> load_revoked() noexcept {
    const std::string file = TERN_TRY(present("ca-crl.pem", false));
    if (file.empty()) return {};
    const BioPtr bio(BIO_new_file(file.c_str(), "r"));
    if (!bio) return unusable(file);
    X509_STORE* store = SSL_CTX_get_cert_store(context_);
    size_t count = 0;
    for (;; ++count) {
      const CrlPtr crl(PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
      if (!crl) break;
      if (X509_STORE_add_crl(store, crl.get()) != 1) return unusable(file);
    }
    if (count == 0) return unusable(file);
    ERR_clear_error();  // that the file ends
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_), X509_V_FLAG_CRL_CHECK);
    return {};
  }

  Result<void> load_own(const std::string& certificate, const std::string& key) noexcept {
    if (SSL_CTX_use_certificate_chain_file(context_, certificate.c_str()) != 1) {
      return unusable(certificate);
    }
    Password password{options_.password};
    SSL_CTX_set_default_passwd_cb(context_, on_password);
    SSL_CTX_set_default_passwd_cb_userdata(context_, &password);
    const bool loaded = SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb(context_, nullptr);
    SSL_CTX_set_default_passwd_cb_userdata(context_, nullptr);
    if (!loaded && password.asked) {
      ERR_clear_error();
      return bad("Unable to load " + key + ": " +
                 (options_.password != nullptr ? "the secret of passwordid does not decrypt it"
                                               : "it is encrypted, and passwordid is not set"));
    }
    if (!loaded) return unusable(key);
    return options_.sanity_check ? check_own(certificate) : Result<void>();
  }

  /// A peer would refuse it: say so to whoever can mend it.
  Result<void> check_own(const std::string& file) noexcept {
    using StorePtr = std::unique_ptr<X509_STORE_CTX, FreeWith<&X509_STORE_CTX_free>>;
    const StorePtr store(X509_STORE_CTX_new());
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(context_, &chain);
    if (!store || X509_STORE_CTX_init(store.get(), SSL_CTX_get_cert_store(context_),
                                      SSL_CTX_get0_certificate(context_), chain) != 1) {
      return unusable(file);
    }
    X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(store.get());
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_purpose(param, options_.endpoint == Endpoint::server
                                             ? X509_PURPOSE_SSL_SERVER
                                             : X509_PURPOSE_SSL_CLIENT);
    if (X509_verify_cert(store.get()) == 1) return {};
    ERR_clear_error();
    return bad(file + ": " + verify_problem(store.get(), "our", ""));
  }

  /// A client picks among its certificates by the names of the CAs that are told.
  Result<void> ask_client(const std::string& ca) noexcept {
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(ca.c_str());
    if (names == nullptr) return unusable(ca);
    SSL_CTX_set_client_CA_list(context_, names);
    return {};
  }

  const X509Options& options_;
  SSL_CTX* const context_;
};

class X509Credentials final : public Credentials {
 public:
  X509Credentials(const X509Options& options, SslContextPtr context) noexcept
      : Credentials(options.endpoint, options.verify_peer), context_(std::move(context)) {}
  SSL_CTX* context() const noexcept override { return context_.get(); }

 private:
  const SslContextPtr context_;
};

}  // namespace

Result<std::shared_ptr<const Credentials>> Credentials::x509(const X509Options& options) noexcept {
  const CipherPolicy policy = TERN_TRY(policy_from_priority(options.priority, false));
  SslContextPtr context = TERN_TRY(make_context(options.endpoint, policy));
  TERN_TRY(Loader(options, context.get()).load());
  return std::make_shared<const X509Credentials>(options, std::move(context));
}

std::string_view to_string(Endpoint endpoint) noexcept {
  return endpoint == Endpoint::client ? "client" : "server";
}

}  // namespace tern::transport::tls
