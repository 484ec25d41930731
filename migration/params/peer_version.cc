// SPDX-License-Identifier: Apache-2.0
//
// The words for PeerVersion, and what a machine's name says about it.
#include <string>

#include "migration/params/parameters.h"
#include "tern/settings.h"

namespace tern {

std::string_view to_string(PeerVersion version) noexcept {
  return params::kPeerVersionWords[static_cast<size_t>(version)];
}

Result<PeerVersion> peer_version_from(std::string_view text) noexcept {
  for (size_t i = 0; i < params::kPeerVersionWords.size(); ++i) {
    if (params::kPeerVersionWords[i] == text) return static_cast<PeerVersion>(i);
  }
  return Error(ErrorCode::invalid_argument, "unknown peer version '" + std::string(text) + "'");
}

std::optional<PeerVersion> peer_version_of_machine(std::string_view machine) noexcept {
  // Only these two families are x86 and versioned; a name of another kind that happens to end in a
  // number (or a distribution's "pc-q35-rhel9.2.0") says nothing.
  for (std::string_view family : {"pc-i440fx-", "pc-q35-"}) {
    if (!machine.starts_with(family)) continue;
    const std::string word = "qemu-" + std::string(machine.substr(family.size()));
    Result<PeerVersion> version = peer_version_from(word);
    if (version) return *version;
  }
  return std::nullopt;
}

}  // namespace tern
