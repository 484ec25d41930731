// SPDX-License-Identifier: Apache-2.0
#include "migration/params/validate.h"

#include <string>

#include "migration/params/capabilities.h"

namespace tern::params {
namespace {

std::string named(std::string_view name) noexcept {
  return "Parameter '" + std::string(name) + "'";
}

Error refused(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

Result<void> check_range(const ParameterRow& row, const Value& value) noexcept {
  if (const auto* text = std::get_if<std::string>(&value)) {
    if (text->size() <= row.max && text->find('\0') == std::string::npos) return {};
    return refused(named(row.name) + " must be " + range_text(row));
  }
  const uint64_t n = *std::get_if<uint64_t>(&value);
  if (is_in_range(row, n)) return {};
  return refused(named(row.name) + " must be " + range_text(row) + ", not " + std::to_string(n));
}

// Ranges first, so that the sentence about two parameters never speaks of an impossible value.
Result<void> check_bound(std::span<const ParameterRow> rows, const ParameterRow& row,
                         const Settings& settings) noexcept {
  for (const ParameterRow& other : rows) {
    if (other.name != row.not_below) continue;
    const Value mine = get(settings, row);
    const Value bound = get(settings, other);
    if (mine >= bound) continue;
    return refused(named(row.name) + " (" + value_to_text(row, mine) + ") must not be below '" +
                   std::string(other.name) + "' (" + value_to_text(other, bound) + ")");
  }
  return {};
}

Result<void> check_excluded(const ParameterRow& row, const Settings& settings,
                            const CapabilitySet& on) noexcept {
  const Value value = get(settings, row);
  const auto* n = std::get_if<uint64_t>(&value);
  const bool at_default =
      n != nullptr ? *n == row.qmp_default : std::get_if<std::string>(&value)->empty();
  if (at_default) return {};
  for (const std::string_view capability : row.excludes) {
    const size_t index = capability_index(capability);
    if (!on.test(index)) continue;
    if (!kCapabilities[index].refusal.empty()) {
      return refused(std::string(kCapabilities[index].refusal));
    }
    return refused(named(row.name) + " excludes capability '" + std::string(capability) + "'");
  }
  return {};
}

}  // namespace

Result<void> check_parameters(std::span<const ParameterRow> rows,
                              const Settings& settings) noexcept {
  const CapabilitySet on = capabilities_of(settings);
  for (const ParameterRow& row : rows) TERN_TRY(check_range(row, get(settings, row)));
  for (const ParameterRow& row : rows) {
    TERN_TRY(check_bound(rows, row, settings));
    TERN_TRY(check_excluded(row, settings, on));
  }
  return {};
}

Result<void> validate(const Settings& settings) noexcept {
  TERN_TRY(check_parameters(kParameters, settings));
  return check(capabilities_of(settings));
}

}  // namespace tern::params
