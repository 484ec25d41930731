// SPDX-License-Identifier: Apache-2.0
#include "migration/params/validate.h"

#include <string>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"

namespace tern::params {
namespace {

Error out_of_range(const ParameterRow& row, uint64_t value) noexcept {
  std::string text = "Parameter '" + std::string(row.name) + "' must be " +
                     std::to_string(row.min) + ".." + std::to_string(row.max);
  if (!row.unit.empty()) text += " " + std::string(row.unit);
  return Error(ErrorCode::invalid_argument, text + ", not " + std::to_string(value));
}

}  // namespace

Result<void> validate(const Settings& settings) noexcept {
  for (const ParameterRow& row : kParameters) {
    const uint64_t value = get(settings, row);
    if (value < row.min || value > row.max) return out_of_range(row, value);
  }
  return check(capabilities_of(settings));
}

}  // namespace tern::params
