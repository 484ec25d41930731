// SPDX-License-Identifier: Apache-2.0
#include "migration/params/capabilities.h"

#include <string>

namespace tern::params {

CapabilitySet capabilities_of(const Settings& settings) noexcept {
  CapabilitySet on;
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if (kCapabilities[i].member != nullptr) on.set(i, settings.*kCapabilities[i].member);
  }
  return on;
}

void store(const CapabilitySet& on, Settings& settings) noexcept {
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if (kCapabilities[i].member != nullptr) settings.*kCapabilities[i].member = on.test(i);
  }
}

Result<void> check(const CapabilitySet& on) noexcept {
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if (!on.test(i)) continue;
    const CapabilityRow& row = kCapabilities[i];
    for (std::string_view other : row.needs) {
      if (on.test(capability_index(other))) continue;
      return Error(ErrorCode::invalid_argument, "Capability '" + std::string(row.name) +
                                                    "' requires capability '" + std::string(other) +
                                                    "'");
    }
    for (std::string_view other : row.excludes) {
      if (!on.test(capability_index(other))) continue;
      return Error(ErrorCode::invalid_argument, "Capability '" + std::string(row.name) +
                                                    "' excludes capability '" + std::string(other) +
                                                    "'");
    }
  }
  return {};
}

}  // namespace tern::params
