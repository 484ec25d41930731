// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/distinguished_name.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "transport/tls/openssl.h"

namespace tern::transport::tls {
namespace {

// The names that GnuTLS, and so QEMU, prints; other attributes appear as numbers.
constexpr auto kNames = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"2.5.4.3", "CN"},
    {"2.5.4.4", "surName"},
    {"2.5.4.5", "serialNumber"},
    {"2.5.4.6", "C"},
    {"2.5.4.7", "L"},
    {"2.5.4.8", "ST"},
    {"2.5.4.9", "street"},
    {"2.5.4.10", "O"},
    {"2.5.4.11", "OU"},
    {"2.5.4.12", "title"},
    {"2.5.4.13", "description"},
    {"2.5.4.15", "businessCategory"},
    {"2.5.4.17", "postalCode"},
    {"2.5.4.20", "telephoneNumber"},
    {"2.5.4.41", "name"},
    {"2.5.4.42", "givenName"},
    {"2.5.4.43", "initials"},
    {"2.5.4.44", "generationQualifier"},
    {"2.5.4.46", "dnQualifier"},
    {"2.5.4.65", "pseudonym"},
    {"1.2.840.113549.1.9.1", "EMAIL"},
    {"0.9.2342.19200300.100.1.1", "UID"},
    {"0.9.2342.19200300.100.1.25", "DC"},
});

std::string number_of(const ASN1_OBJECT* type) noexcept {
  std::array<char, 160> text{};
  const int length = OBJ_obj2txt(text.data(), static_cast<int>(text.size()), type, 1);
  return std::string(text.data(),
                     static_cast<size_t>(std::clamp(length, 0, static_cast<int>(text.size()) - 1)));
}

void put_hex(std::string& out, std::span<const uint8_t> bytes) noexcept {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

void put_escaped(std::string& out, std::string_view value) noexcept {
  constexpr std::string_view kSpecial = ",+\"\\<>;";
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool first = i == 0;
    const bool last = i + 1 == value.size();
    if (c == '\0') {
      out += "\\00";
      continue;
    }
    if (kSpecial.find(c) != std::string_view::npos || (c == '#' && first) ||
        (c == ' ' && (first || last))) {
      out += '\\';
    }
    out += c;
  }
}

/// The whole value in DER, for attributes whose meaning is unknown.
void put_der(std::string& out, const ASN1_STRING* value) noexcept {
  ASN1_TYPE holder{};
  holder.type = ASN1_STRING_type(value);
  holder.value.asn1_string = const_cast<ASN1_STRING*>(value);
  uint8_t* der = nullptr;
  const int length = i2d_ASN1_TYPE(&holder, &der);
  out += '#';
  if (length > 0) put_hex(out, {der, static_cast<size_t>(length)});
  OPENSSL_free(der);
}

void put_value(std::string& out, const ASN1_STRING* value, bool known) noexcept {
  uint8_t* utf8 = nullptr;
  const int length = known ? ASN1_STRING_to_UTF8(&utf8, value) : -1;
  if (length < 0) {
    ERR_clear_error();
    return put_der(out, value);
  }
  const std::string text(utf8, utf8 + length);
  OPENSSL_free(utf8);
  put_escaped(out, text);
}

}  // namespace

std::string distinguished_name(const X509_NAME* name) noexcept {
  std::string out;
  const int count = X509_NAME_entry_count(name);
  int set = -1;
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const bool same_set = X509_NAME_ENTRY_set(entry) == set;
    set = X509_NAME_ENTRY_set(entry);
    if (i > 0) out += same_set ? '+' : ',';
    const std::string number = number_of(X509_NAME_ENTRY_get_object(entry));
    const auto* row = std::find_if(kNames.begin(), kNames.end(),
                                   [&](const auto& known) { return known.first == number; });
    out += row == kNames.end() ? std::string_view(number) : row->second;
    out += '=';
    put_value(out, X509_NAME_ENTRY_get_data(entry), row != kNames.end());
  }
  return out;
}

}  // namespace tern::transport::tls
