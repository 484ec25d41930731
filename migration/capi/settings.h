// SPDX-License-Identifier: Apache-2.0
//
// The handle of settings.
#pragma once

#include "tern/c/base.h"
#include "tern/settings.h"

struct tern_settings {
  tern::Settings value;
};

namespace tern::capi {

/// Those of a handle that may be NULL.
inline Settings settings_of(const tern_settings* settings) noexcept {
  return settings != nullptr ? settings->value : Settings{};
}

}  // namespace tern::capi
