// SPDX-License-Identifier: Apache-2.0
//
// The one check of a whole Settings value against the tables, made before anything is stored or
// started.
#pragma once

#include <span>

#include "migration/params/parameters.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern::params {

/// Errors: invalid_argument naming the first parameter out of range (in table order), the
/// parameters or the capabilities that do not go together.
Result<void> validate(const Settings& settings) noexcept;

/// The part about parameters, for any rows.
Result<void> check_parameters(std::span<const ParameterRow> rows,
                              const Settings& settings) noexcept;

}  // namespace tern::params
