// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/priority.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace tern::transport::tls {
namespace {

struct CipherRow {
  std::string_view name;    // GnuTLS
  std::string_view name13;  // OpenSSL, TLS 1.3
  std::string_view ecdsa12;
  std::string_view rsa12;
  std::string_view psk12;
  bool strong;  // part of SECURE256
};

// In the order of preference. AES-128 first: the same practical strength as the others, and where
// the CPU has AES instructions the fastest by far.
constexpr auto kCiphers = std::to_array<CipherRow>({
    {"AES-128-GCM", "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
     "ECDHE-RSA-AES128-GCM-SHA256", "DHE-PSK-AES128-GCM-SHA256", false},
    {"AES-256-GCM", "TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
     "ECDHE-RSA-AES256-GCM-SHA384", "DHE-PSK-AES256-GCM-SHA384", true},
    {"CHACHA20-POLY1305", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
     "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-CHACHA20-POLY1305", true},
});
constexpr auto kLevels = std::to_array<std::pair<std::string_view, bool>>({
    {"NORMAL", false},
    {"PERFORMANCE", false},
    {"SECURE128", false},
    {"PFS", false},
    {"SECURE256", true},
    {"SECURE192", true},
});
// Key exchanges that come with the credentials: named or not, they are there.
constexpr auto kImplied = std::to_array<std::string_view>({"PSK", "DHE-PSK", "ECDHE-PSK"});

struct Chosen {
  bool tls12 = true;
  bool tls13 = true;
  std::array<bool, kCiphers.size()> ciphers{};
};

/// One modifier after its sign; false if it is unknown.
bool apply(std::string_view name, bool on, bool psk, Chosen& chosen) noexcept {
  if (name == "VERS-ALL" || name == "VERS-TLS-ALL") {
    chosen.tls12 = chosen.tls13 = on;
  } else if (name == "VERS-TLS1.3") {
    chosen.tls13 = on;
  } else if (name == "VERS-TLS1.2") {
    chosen.tls12 = on;
  } else if (name == "VERS-TLS1.1" || name == "VERS-TLS1.0" || name == "VERS-SSL3.0") {
    return !on;  // they are off, for good
  } else if (name == "CIPHER-ALL") {
    chosen.ciphers.fill(on);
  } else if (std::find(kImplied.begin(), kImplied.end(), name) != kImplied.end()) {
    return on && psk;
  } else {
    const auto row = std::find_if(kCiphers.begin(), kCiphers.end(),
                                  [name](const CipherRow& r) { return r.name == name; });
    if (row == kCiphers.end()) return false;
    chosen.ciphers[static_cast<size_t>(row - kCiphers.begin())] = on;
  }
  return true;
}

void append(std::string& list, std::string_view names) noexcept {
  if (!list.empty()) list += ':';
  list += names;
}

Error refused(std::string_view priority, const std::string& why) noexcept {
  return {ErrorCode::invalid_argument,
          "Unable to set TLS session priority " + std::string(priority) + ": " + why};
}

Result<Chosen> read(std::string_view priority, bool psk) noexcept {
  Chosen chosen;
  std::string_view rest = priority.empty() ? "NORMAL" : priority;
  for (bool first = true;; first = false) {
    const size_t colon = rest.find(':');
    const std::string_view word = rest.substr(0, colon);
    if (first) {
      const auto level = std::find_if(kLevels.begin(), kLevels.end(),
                                      [word](const auto& l) { return l.first == word; });
      if (level == kLevels.end()) {
        return refused(priority,
                       "it begins with none of NORMAL, PERFORMANCE, PFS, SECURE128, "
                       "SECURE192, SECURE256");
      }
      for (size_t i = 0; i < kCiphers.size(); ++i) {
        chosen.ciphers[i] = kCiphers[i].strong || !level->second;
      }
    } else {
      const bool on = word.starts_with('+');
      const bool off = word.starts_with('-') || word.starts_with('!');
      if ((!on && !off) || !apply(word.substr(1), on, psk, chosen)) {
        return refused(priority, "'" + std::string(word) + "' is unknown here");
      }
    }
    if (colon == std::string_view::npos) return chosen;
    rest.remove_prefix(colon + 1);
  }
}

}  // namespace

Result<CipherPolicy> policy_from_priority(std::string_view priority, bool psk) noexcept {
  const Chosen chosen = TERN_TRY(read(priority, psk));
  CipherPolicy policy;
  policy.tls12 = chosen.tls12;
  policy.tls13 = chosen.tls13;
  for (size_t i = 0; i < kCiphers.size(); ++i) {
    if (!chosen.ciphers[i]) continue;
    append(policy.ciphers13, kCiphers[i].name13);
    if (psk) {
      append(policy.ciphers12, kCiphers[i].psk12);
    } else {
      append(policy.ciphers12, kCiphers[i].ecdsa12);
      append(policy.ciphers12, kCiphers[i].rsa12);
    }
  }
  if (!policy.tls12 && !policy.tls13) return refused(priority, "it leaves no version of TLS");
  if (policy.ciphers13.empty()) return refused(priority, "it leaves no cipher");
  return policy;
}

}  // namespace tern::transport::tls
