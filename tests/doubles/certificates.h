// SPDX-License-Identifier: Apache-2.0
//
// A directory with certificates and shared keys, made when it is asked for: a CA, and whom it
// signs.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "transport/tls/openssl.h"

namespace tern::test {

/// Attributes of a subject in their order: {"CN", "host1"}.
using Subject = std::vector<std::pair<std::string, std::string>>;

struct CertificateOptions {
  Subject subject;
  std::string names;  // "DNS:localhost,IP:127.0.0.1"; "" for none
  std::string usage;  // "serverAuth", "clientAuth"; "" for both
  long begins_in_s = -3600;
  long ends_in_s = 3600;
  std::string password;  // encrypts the key
};

class Pki {
 public:
  using Key = transport::tls::KeyPtr;
  using Certificate = transport::tls::X509Ptr;

  Pki() {
    std::string name = (std::filesystem::temp_directory_path() / "tern-pki-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
    ca_ = make({.subject = {{"CN", "CA in " + dir}}}, ca_key_, true);
    save(dir + "/ca-cert.pem", *ca_);
    write("keys.psk", "qemu:00112233445566778899aabbccddeeff\n");
  }
  Pki(const Pki&) = delete;
  Pki& operator=(const Pki&) = delete;
  ~Pki() { std::filesystem::remove_all(dir); }

  /// With a good server and a good client.
  static Pki& usual() {
    static Pki pki;
    if (std::filesystem::exists(pki.dir + "/server-cert.pem")) return pki;
    pki.issue("server", {{{"CN", "server"}}, "DNS:localhost,IP:127.0.0.1", "serverAuth"});
    pki.issue("client", {{{"C", "GB"}, {"CN", "client"}}, "", "clientAuth"});
    return pki;
  }

  /// ROLE-cert.pem and ROLE-key.pem.
  void issue(const std::string& role, const CertificateOptions& options) {
    Key key;
    const Certificate certificate = make(options, key, false);
    save(dir + "/" + role + "-cert.pem", *certificate);
    FILE* file = std::fopen((dir + "/" + role + "-key.pem").c_str(), "w");
    const auto* password = reinterpret_cast<const unsigned char*>(options.password.data());
    EXPECT_EQ(PEM_write_PrivateKey(file, key.get(),
                                   options.password.empty() ? nullptr : EVP_aes_128_cbc(), password,
                                   static_cast<int>(options.password.size()), nullptr, nullptr),
              1);
    std::fclose(file);
    last = X509Ref(certificate.get());
  }
  /// ca-crl.pem that revokes what was issued last.
  void revoke_last() {
    const transport::tls::CrlPtr crl(X509_CRL_new());
    X509_CRL_set_version(crl.get(), 1);
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(ca_.get()));
    ASN1_TIME* now = X509_gmtime_adj(nullptr, -3600);
    ASN1_TIME* later = X509_gmtime_adj(nullptr, 3600);
    X509_CRL_set1_lastUpdate(crl.get(), now);
    X509_CRL_set1_nextUpdate(crl.get(), later);
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(last.get()));
    X509_REVOKED_set_revocationDate(revoked, now);
    X509_CRL_add0_revoked(crl.get(), revoked);
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    X509_CRL_sign(crl.get(), ca_key_.get(), EVP_sha256());
    FILE* file = std::fopen((dir + "/ca-crl.pem").c_str(), "w");
    PEM_write_X509_CRL(file, crl.get());
    std::fclose(file);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(dir + "/" + name) << text;
  }
  /// A certificate that is in no file.
  Certificate make(const CertificateOptions& options) {
    Key key;
    return make(options, key, false);
  }

  std::string dir;

 private:
  static Certificate X509Ref(X509* certificate) {
    X509_up_ref(certificate);
    return Certificate(certificate);
  }
  Certificate make(const CertificateOptions& options, Key& key, bool authority) {
    key.reset(EVP_EC_gen("P-256"));
    Certificate x(X509_new());
    X509_set_version(x.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x.get()), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), options.begins_in_s);
    X509_gmtime_adj(X509_getm_notAfter(x.get()), options.ends_in_s);
    X509_set_pubkey(x.get(), key.get());
    X509_NAME* name = X509_get_subject_name(x.get());
    for (const auto& [type, value] : options.subject) {
      EXPECT_EQ(X509_NAME_add_entry_by_txt(name, type.c_str(), MBSTRING_UTF8,
                                           reinterpret_cast<const unsigned char*>(value.data()),
                                           static_cast<int>(value.size()), -1, 0),
                1)
          << type;
    }
    X509_set_issuer_name(x.get(), authority ? name : X509_get_subject_name(ca_.get()));
    extend(x.get(), NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (!options.names.empty()) extend(x.get(), NID_subject_alt_name, options.names);
    if (!options.usage.empty()) extend(x.get(), NID_ext_key_usage, options.usage);
    EXPECT_GT(X509_sign(x.get(), authority ? key.get() : ca_key_.get(), EVP_sha256()), 0);
    return x;
  }
  static void extend(X509* x, int type, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, type, value.c_str());
    ASSERT_NE(extension, nullptr) << value;
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static void save(const std::string& path, X509& certificate) {
    FILE* file = std::fopen(path.c_str(), "w");
    EXPECT_EQ(PEM_write_X509(file, &certificate), 1);
    std::fclose(file);
  }

  long serial_ = 0;
  Key ca_key_;
  Certificate ca_;
  Certificate last;
};

}  // namespace tern::test
