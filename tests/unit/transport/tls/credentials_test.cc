// SPDX-License-Identifier: Apache-2.0
//
// Everything that is read from files and properties: secrets, shared keys, priorities, names,
// certificates of ours.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/doubles/certificates.h"
#include "transport/tls/credentials.h"
#include "transport/tls/distinguished_name.h"
#include "transport/tls/priority.h"
#include "transport/tls/psk_keys.h"

namespace tern::transport::tls {
namespace {

using test::Pki;

template <typename T>
std::string error_of(const Result<T>& result) {
  return result ? "" : result.error().message();
}
#define EXPECT_ERROR(expression, words)                                                     \
  do {                                                                                      \
    const std::string said = error_of(expression);                                          \
    EXPECT_NE(said.find(words), std::string::npos) << '"' << said << "\" has no " << words; \
  } while (false)

TEST(Secret, is_what_was_given_raw_or_in_base64) {
  EXPECT_EQ(Secret::from_text("a b\n", false)->bytes(), "a b\n");
  EXPECT_EQ(Secret::from_text("aGVsbG8=", true)->bytes(), "hello");
  EXPECT_EQ(Secret::from_text("aGVs\nbG8h\n", true)->bytes(), "hello!");
  EXPECT_EQ(Secret::from_text("YQ==", true)->bytes(), "a");
  EXPECT_EQ(Secret::from_text("", true)->bytes(), "");
}
TEST(Secret, refuses_what_is_no_base64) {
  EXPECT_EQ(error_of(Secret::from_text("!!!!", true)), "Base64 data contains invalid characters");
  for (const char* text : {"a", "abcde", "YQ", "YQ=", "=", "YQ==YQ=="}) {
    EXPECT_NE(error_of(Secret::from_text(text, true)), "") << text;
  }
  EXPECT_ERROR(Secret::from_text(std::string(kMaxSecretBytes + 1, 'a'), false), "at most");
}
TEST(Secret, comes_from_a_file_that_is_not_endless) {
  const Pki& pki = Pki::usual();
  pki.write("secret", "pass\n");
  EXPECT_EQ(Secret::from_file(pki.dir + "/secret", false)->bytes(), "pass\n");
  EXPECT_ERROR(Secret::from_file(pki.dir + "/none", false), "none: No such file");
  EXPECT_ERROR(Secret::from_file("/dev/zero", false), "more than");
  EXPECT_ERROR(Secret::from_file("/", false), "Is a directory");
  ASSERT_EQ(::mkfifo((pki.dir + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Secret::from_file(pki.dir + "/fifo", false)->bytes(), "") << "nobody writes, no wait";
}

TEST(PskKeys, are_lines_of_user_and_hex) {
  const auto keys = parse_psk_keys("# of the cluster\n\nqemu:00FFab\r\na:b:0102\n");
  ASSERT_TRUE(keys) << keys.error().message();
  EXPECT_EQ(keys->at("qemu"), (std::vector<uint8_t>{0, 255, 0xab}));
  EXPECT_EQ(keys->at("a:b"), (std::vector<uint8_t>{1, 2}));
}
TEST(PskKeys, are_refused_with_the_line) {
  for (const char* text : {"qemu", "qemu:", "qemu:0", "qemu:0g", "qemu: 0", ":00", "a:00\na:00"}) {
    EXPECT_ERROR(parse_psk_keys(text), "line ");
  }
  EXPECT_ERROR(parse_psk_keys("a:01\nb:0x02"), "line 2");
  EXPECT_ERROR(parse_psk_keys(std::string(kMaxPskNameBytes + 1, 'a') + ":00"), "line 1");
  EXPECT_ERROR(parse_psk_keys("a:" + std::string(2 * kMaxPskKeyBytes + 2, '0')), "more than");
}

TEST(Priority, leaves_what_gnutls_would_leave) {
  const auto all = policy_from_priority("", false);
  EXPECT_TRUE(all->tls12 && all->tls13);
  EXPECT_TRUE(all->ciphers13.starts_with("TLS_AES_128_GCM_SHA256:")) << all->ciphers13;
  EXPECT_FALSE(policy_from_priority("NORMAL:-VERS-TLS1.3", false)->tls13);
  const auto one = policy_from_priority("NORMAL:-VERS-ALL:+VERS-TLS1.3", true);
  EXPECT_TRUE(one->tls13 && !one->tls12);
  EXPECT_EQ(policy_from_priority("SECURE256:-CHACHA20-POLY1305", false)->ciphers13,
            "TLS_AES_256_GCM_SHA384");
  EXPECT_EQ(policy_from_priority("NORMAL:-CIPHER-ALL:+AES-128-GCM", true)->ciphers12,
            "DHE-PSK-AES128-GCM-SHA256");
  EXPECT_TRUE(policy_from_priority("NORMAL:+ECDHE-PSK:+DHE-PSK:+PSK:!VERS-TLS1.0", true));
}
TEST(Priority, refuses_by_name_what_has_no_meaning_here) {
  EXPECT_ERROR(policy_from_priority("@SYSTEM", false), "begins with none of");
  EXPECT_ERROR(policy_from_priority("NORMAL:%COMPAT", false), "'%COMPAT' is unknown");
  EXPECT_ERROR(policy_from_priority("NORMAL:+VERS-TLS1.0", false), "'+VERS-TLS1.0'");
  EXPECT_ERROR(policy_from_priority("NORMAL:+PSK", false), "'+PSK'");
  EXPECT_ERROR(policy_from_priority("NORMAL:", false), "''");
  EXPECT_ERROR(policy_from_priority("NORMAL:-VERS-ALL", false), "no version");
  EXPECT_ERROR(policy_from_priority("NORMAL:-CIPHER-ALL", false), "no cipher");
}

TEST(DistinguishedName, is_escaped_as_gnutls_does) {
  const auto name = [](const test::Subject& subject) {
    const auto certificate = Pki::usual().make({.subject = subject});
    return distinguished_name(X509_get_subject_name(certificate.get()));
  };
  EXPECT_EQ(name({{"C", "GB"}, {"ST", "London"}, {"L", " Lon"}, {"OU", "a#b\\c<d>=e"}}),
            "C=GB,ST=London,L=\\ Lon,OU=a#b\\\\c\\<d\\>=e");
  EXPECT_EQ(name({{"O", "#Acme, \"In;c\" "}, {"OU", " two  "}, {"CN", "a/b+c"}}),
            "O=\\#Acme\\, \\\"In\\;c\\\"\\ ,OU=\\ two \\ ,CN=a/b\\+c");
  EXPECT_EQ(name({{"emailAddress", "x@y.z"}, {"UID", "fred"}, {"DC", "example"}, {"GN", "Al"}}),
            "EMAIL=x@y.z,UID=fred,DC=example,givenName=Al");
  EXPECT_EQ(name({{"2.5.4.97", "bar"}, {"CN", "d\xc3\xb6g"}}),
            "2.5.4.97=#0c03626172,CN=d\xc3\xb6g");
  EXPECT_EQ(name({}), "");
}

TEST(X509, reads_the_files_of_its_side) {
  const Pki& pki = Pki::usual();
  for (const Endpoint endpoint : {Endpoint::client, Endpoint::server}) {
    const auto made = Credentials::x509({.dir = pki.dir, .endpoint = endpoint});
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_EQ((*made)->endpoint(), endpoint);
    EXPECT_EQ((*made)->needs_hostname(), endpoint == Endpoint::client);
    EXPECT_EQ((*made)->asks_for_certificate(), endpoint == Endpoint::server);
  }
}
TEST(X509, names_the_file_that_is_missing_or_no_good) {
  Pki pki;
  const X509Options server{.dir = pki.dir, .endpoint = Endpoint::server};
  EXPECT_TRUE(Credentials::x509({.dir = pki.dir})) << "a client needs no certificate of its own";
  EXPECT_EQ(error_of(Credentials::x509({.dir = "/none"})),
            "Unable to access credentials /none/ca-cert.pem: No such file or directory");
  EXPECT_ERROR(Credentials::x509(server), "/server-cert.pem: No such file");
  pki.issue("server", {{{"CN", "s"}}, "DNS:localhost", "serverAuth"});
  EXPECT_TRUE(Credentials::x509(server));
  pki.issue("client", {{{"CN", "s"}}, "", "clientAuth"});
  std::filesystem::copy_file(pki.dir + "/client-key.pem", pki.dir + "/server-key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_ERROR(Credentials::x509(server), "server-key.pem: key values mismatch");
  pki.write("server-cert.pem", "nonsense");
  EXPECT_ERROR(Credentials::x509(server), "Unable to load " + pki.dir + "/server-cert.pem");
  std::filesystem::remove(pki.dir + "/client-key.pem");
  EXPECT_ERROR(Credentials::x509({.dir = pki.dir}), "client-key.pem: a certificate and its key");
  pki.write("ca-crl.pem", "nonsense");
  EXPECT_ERROR(Credentials::x509({.dir = pki.dir}), "ca-crl.pem");
  pki.write("ca-cert.pem", "");
  EXPECT_ERROR(Credentials::x509({.dir = pki.dir}), "Unable to load " + pki.dir + "/ca-cert.pem");
}
TEST(X509, looks_at_its_own_certificate) {
  Pki pki;
  X509Options server{.dir = pki.dir, .endpoint = Endpoint::server};
  pki.issue("server", {.subject = {{"CN", "s"}}, .begins_in_s = -7200, .ends_in_s = -3600});
  EXPECT_ERROR(Credentials::x509(server), "our certificate (CN=s) has expired on ");
  pki.issue("server", {.subject = {{"CN", "s"}}, .begins_in_s = 3600, .ends_in_s = 7200});
  EXPECT_ERROR(Credentials::x509(server), "is not valid yet, not before ");
  server.sanity_check = false;
  EXPECT_TRUE(Credentials::x509(server));
  server.sanity_check = true;
  pki.issue("server", {.subject = {{"CN", "s"}}, .usage = "clientAuth"});
  EXPECT_ERROR(Credentials::x509(server), "extended key usage");
  for (const char* name : {"/server-cert.pem", "/server-key.pem"}) {
    std::filesystem::copy_file(Pki::usual().dir + name, pki.dir + name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_ERROR(Credentials::x509(server), "was not issued by the CA in ca-cert.pem");
}
TEST(X509, decrypts_its_key_with_the_secret) {
  Pki pki;
  pki.issue("client", {.subject = {{"CN", "c"}}, .password = "open sesame"});
  EXPECT_ERROR(Credentials::x509({.dir = pki.dir}), "it is encrypted, and passwordid is not set");
  const Secret right(std::string("open sesame"));
  const Secret wrong(std::string("open"));
  EXPECT_TRUE(Credentials::x509({.dir = pki.dir, .password = &right}));
  EXPECT_ERROR(Credentials::x509({.dir = pki.dir, .password = &wrong}), "does not decrypt it");
}

TEST(Psk, names_what_is_wrong) {
  Pki pki;
  EXPECT_TRUE(Credentials::psk({.dir = pki.dir}));
  EXPECT_TRUE(Credentials::psk({.dir = pki.dir, .endpoint = Endpoint::server}));
  EXPECT_EQ(error_of(Credentials::psk({.dir = "/none"})),
            "Unable to access credentials /none/keys.psk: No such file or directory");
  EXPECT_ERROR(Credentials::psk({.dir = pki.dir, .username = "me"}), "'me' has no key in");
  EXPECT_ERROR(Credentials::psk({.dir = pki.dir, .username = ""}), "username must have");
  EXPECT_ERROR(Credentials::psk({.dir = pki.dir, .priority = "x"}), "priority x");
  pki.write("keys.psk", "qemu\n");
  EXPECT_ERROR(Credentials::psk({.dir = pki.dir}), "keys.psk: line 1");
}

}  // namespace
}  // namespace tern::transport::tls
