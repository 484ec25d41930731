// SPDX-License-Identifier: Apache-2.0
#include "migration/params/parameters.h"

#include "migration/params/capabilities.h"

namespace tern::params {

std::string_view to_string(ValueType type) noexcept {
  switch (type) {
    case ValueType::size:
      return "size";
    case ValueType::uint64:
      return "uint64";
    case ValueType::uint32:
      return "uint32";
    case ValueType::enumeration:
      return "enum";
  }
  return "";
}

std::string_view to_string(ActsOn side) noexcept {
  switch (side) {
    case ActsOn::source:
      return "source";
    case ActsOn::destination:
      return "destination";
    case ActsOn::both:
      return "both";
  }
  return "";
}

const ParameterRow* find_parameter(std::string_view name) noexcept {
  for (const ParameterRow& row : kParameters) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

uint64_t get(const Settings& settings, const ParameterRow& row) noexcept {
  if (const auto* wide = std::get_if<uint64_t Settings::*>(&row.member)) return settings.**wide;
  if (const auto* narrow = std::get_if<uint32_t Settings::*>(&row.member)) return settings.**narrow;
  const auto* peer = std::get_if<std::optional<PeerVersion> Settings::*>(&row.member);
  const std::optional<PeerVersion>& version = settings.**peer;
  return version ? static_cast<uint64_t>(*version) : row.api_default;
}

void set(Settings& settings, const ParameterRow& row, uint64_t value) noexcept {
  if (const auto* wide = std::get_if<uint64_t Settings::*>(&row.member)) {
    settings.** wide = value;
  } else if (const auto* narrow = std::get_if<uint32_t Settings::*>(&row.member)) {
    settings.** narrow = static_cast<uint32_t>(value);
  } else if (const auto* peer = std::get_if<std::optional<PeerVersion> Settings::*>(&row.member)) {
    settings.** peer = static_cast<PeerVersion>(value);
  }
}

Settings qmp_defaults() noexcept {
  Settings settings;
  for (const ParameterRow& row : kParameters) {
    // A peer version that nobody named must stay unset: the engine then looks at the machine's
    // name.
    if (get(settings, row) != row.qmp_default) set(settings, row, row.qmp_default);
  }
  CapabilitySet on;
  for (size_t i = 0; i < kCapabilities.size(); ++i) on.set(i, kCapabilities[i].qmp_default);
  store(on, settings);
  return settings;
}

}  // namespace tern::params
