// SPDX-License-Identifier: Apache-2.0
//
// Every type of object as one row with its properties: object-add's arguments and qom-list's
// answers, the command line and the reference page are made from these rows. Knows nothing of JSON.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace tern::objects {

enum class PropertyKind { string, boolean, word, rules };

struct PropertyRow {
  std::string_view name;
  PropertyKind kind;
  bool required;
  std::string_view help;
  std::span<const std::string_view> words{};  // of kind word; the first is QEMU's zero
  std::string_view qom_type{};                // QEMU's name of an enumeration or struct
};

enum class ObjectType {
  authz_list,
  authz_list_file,
  authz_simple,
  secret,
  tls_creds_psk,
  tls_creds_x509
};

struct ObjectTypeRow {
  std::string_view name;
  ObjectType type;
  std::span<const PropertyRow> properties;
  std::string_view options_name;  // QEMU's name of the struct of its properties
  std::string_view help;
};

inline constexpr std::array<std::string_view, 2> kPolicyWords = {"deny", "allow"};
inline constexpr std::array<std::string_view, 2> kMatchWords = {"exact", "glob"};
inline constexpr std::array<std::string_view, 2> kSecretWords = {"raw", "base64"};
inline constexpr std::array<std::string_view, 2> kEndpointWords = {"client", "server"};

// What one rule of authz-list consists of.
inline constexpr auto kRuleRows = std::to_array<PropertyRow>({
    {"match", PropertyKind::string, true, "The identity, or a pattern with * and ?."},
    {"policy", PropertyKind::word, true, "What to do with it.", kPolicyWords, "QAuthZListPolicy"},
    {"format", PropertyKind::word, false, "How match is compared. [exact]", kMatchWords,
     "QAuthZListFormat"},
});
inline constexpr auto kListRows = std::to_array<PropertyRow>({
    {"policy", PropertyKind::word, false,
     "What to do with an identity that no rule matches. [deny]", kPolicyWords, "QAuthZListPolicy"},
    {"rules", PropertyKind::rules, false, "The first that matches decides.", {}, "QAuthZListRule"},
});
inline constexpr auto kListFileRows = std::to_array<PropertyRow>({
    {"filename", PropertyKind::string, true,
     "A JSON file with the properties of authz-list: {\"rules\": [{\"match\", \"policy\", "
     "\"format\"}], \"policy\"}."},
    {"refresh", PropertyKind::boolean, false,
     "Read the file again when it has changed. A file that cannot be read lets nobody in. [on]"},
});
inline constexpr auto kSimpleRows = std::to_array<PropertyRow>({
    {"identity", PropertyKind::string, true, "The one identity that may."},
});
inline constexpr auto kSecretRows = std::to_array<PropertyRow>({
    {"format", PropertyKind::word, false, "How data or the file is written. [raw]", kSecretWords,
     "QCryptoSecretFormat"},
    {"data", PropertyKind::string, false,
     "The secret itself: visible to whoever sees the command."},
    {"file", PropertyKind::string, false,
     "The file that holds it, whole, with any newline at its end."},
});
inline constexpr auto kX509Rows = std::to_array<PropertyRow>({
    {"dir", PropertyKind::string, true,
     "Directory with ca-cert.pem, optional ca-crl.pem, and server-cert.pem and server-key.pem or "
     "client-cert.pem and client-key.pem."},
    {"endpoint", PropertyKind::word, false,
     "client for a source, server for a destination. [client]", kEndpointWords,
     "QCryptoTLSCredsEndpoint"},
    {"verify-peer", PropertyKind::boolean, false,
     "A client checks the server's certificate; a server asks for one of the client. [on]"},
    {"priority", PropertyKind::string, false,
     "GnuTLS priority string: NORMAL, SECURE256 …, then :+NAME or :-NAME of VERS-TLS1.2, "
     "VERS-TLS1.3, VERS-ALL, AES-128-GCM, AES-256-GCM, CHACHA20-POLY1305, CIPHER-ALL. [NORMAL]"},
    {"sanity-check", PropertyKind::boolean, false,
     "Refuse a certificate of ours that a peer would refuse: expired, or of another CA. [on]"},
    {"passwordid", PropertyKind::string, false, "Id of the secret that decrypts the private key."},
});
inline constexpr auto kPskRows = std::to_array<PropertyRow>({
    {"dir", PropertyKind::string, true, "Directory with keys.psk: lines USERNAME:HEXKEY."},
    {"endpoint", PropertyKind::word, false,
     "client for a source, server for a destination. [client]", kEndpointWords,
     "QCryptoTLSCredsEndpoint"},
    {"verify-peer", PropertyKind::boolean, false,
     "Without effect: both sides prove that they have the key. [on]"},
    {"priority", PropertyKind::string, false, "As of tls-creds-x509. [NORMAL]"},
    {"username", PropertyKind::string, false, "Whose key a client uses. [qemu]"},
});

inline constexpr auto kObjectTypes = std::to_array<ObjectTypeRow>({
    {"authz-list", ObjectType::authz_list, kListRows, "AuthZListProperties",
     "Lets identities in by a list of rules."},
    {"authz-list-file", ObjectType::authz_list_file, kListFileRows, "AuthZListFileProperties",
     "The same with the list in a file."},
    {"authz-simple", ObjectType::authz_simple, kSimpleRows, "AuthZSimpleProperties",
     "Lets one identity in."},
    {"secret", ObjectType::secret, kSecretRows, "SecretProperties",
     "A password, given as data or in a file."},
    {"tls-creds-psk", ObjectType::tls_creds_psk, kPskRows, "TlsCredsPskProperties",
     "TLS with keys that both sides were given beforehand."},
    {"tls-creds-x509", ObjectType::tls_creds_x509, kX509Rows, "TlsCredsX509Properties",
     "TLS with certificates."},
});

/// nullptr for an unknown name.
const ObjectTypeRow* find_object_type(std::string_view name) noexcept;

}  // namespace tern::objects
