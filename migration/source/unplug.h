// SPDX-License-Identifier: Apache-2.0
//
// Unplug: asks the guest to let go of devices that cannot migrate, waits for it, and gives them
// back if the guest stays here. Knows devices and the clock; the status is moved by whoever waits.
#pragma once

#include <vector>

#include "migration/source/source_context.h"
#include "migration/source/source_link.h"
#include "tern/unplug.h"

namespace tern {

/// Thread rules: mig/src/main.
class Unplug {
 public:
  explicit Unplug(SourceContext& context) noexcept : context_(context) {}

  /// Asks for every device, and tells it. Errors: those of the device, naming it.
  Result<void> request() noexcept;
  /// Returns when the guest holds none of them any more. The status is wait-unplug meanwhile, if
  /// there is anything to wait for. Errors: timed_out (x-unplug-timeout), what check() says, a dead
  /// link.
  Result<void> wait(SourceLink& link) noexcept;
  /// The guest stays here: what was asked for is plugged back.
  void undo() noexcept;

 private:
  std::string pending() const noexcept;

  SourceContext& context_;
  std::vector<UnplugDevice*> asked_;
};

}  // namespace tern
