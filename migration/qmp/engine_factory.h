// SPDX-License-Identifier: Apache-2.0
//
// Where the control plane gets its migrations from: the engine, or a script in the tests of command
// semantics.
#pragma once

#include <functional>
#include <memory>

#include "tern/destination.h"
#include "tern/machine.h"
#include "tern/result.h"
#include "tern/settings.h"
#include "tern/source.h"

namespace tern::qmp {

struct EngineFactory {
  std::function<Result<std::unique_ptr<MigrationSource>>(const Machine&, const Settings&)> source;
  std::function<Result<std::unique_ptr<MigrationDestination>>(const Machine&, const Settings&)>
      destination;
};

}  // namespace tern::qmp
