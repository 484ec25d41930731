// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/psk_keys.h"

#include <charconv>
#include <utility>

#include "transport/tls/secret.h"

namespace tern::transport::tls {
namespace {

Result<std::vector<uint8_t>> key_of(std::string_view hex) noexcept {
  std::vector<uint8_t> key;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(&hex[i], &hex[i] + 2, byte, 16);
    if (error != std::errc() || end != &hex[i] + 2) break;
    key.push_back(byte);
  }
  if (hex.empty() || key.size() * 2 != hex.size()) {
    return Error(ErrorCode::invalid_argument, "the key is not an even number of hex digits");
  }
  if (key.size() > kMaxPskKeyBytes) {
    return Error(ErrorCode::invalid_argument,
                 "the key has more than " + std::to_string(kMaxPskKeyBytes) + " bytes");
  }
  return key;
}

}  // namespace

Result<PskKeys> parse_psk_keys(std::string_view text) noexcept {
  PskKeys keys;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::string where = "line " + std::to_string(number);
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || colon > kMaxPskNameBytes) {
      return Error(ErrorCode::invalid_argument, where + ": not username:hexkey");
    }
    auto key = TERN_TRY(key_of(line.substr(colon + 1)).context(where));
    if (!keys.emplace(line.substr(0, colon), std::move(key)).second) {
      return Error(ErrorCode::invalid_argument, where + ": the user name stands there twice");
    }
  }
  return keys;
}

Result<PskKeys> read_psk_keys(const std::string& path) noexcept {
  const Secret text(TERN_TRY(read_small_file(path, kMaxPskFileBytes)));
  return parse_psk_keys(text.bytes()).context(path);
}

}  // namespace tern::transport::tls
