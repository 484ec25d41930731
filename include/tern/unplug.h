// SPDX-License-Identifier: Apache-2.0
//
// A device that cannot migrate and that the guest must let go of first: the primary of a failover
// pair, for instance. Implemented by the VMM.
#pragma once

#include <string_view>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// While a migration is set up every such device is asked for (QMP: UNPLUG_PRIMARY), and the status
/// is wait-unplug until the guest has let go of all of them. A migration that does not end at the
/// destination gives them back.
///
/// Thread rules: called on mig/src/main, one call at a time; no call may block for long.
class TERN_API UnplugDevice {
 public:
  virtual ~UnplugDevice() = default;
  /// Name of the device, for UNPLUG_PRIMARY and messages.
  virtual std::string_view id() const noexcept = 0;
  /// Asks the guest to let go of it; does not wait. Errors end the migration.
  virtual Result<void> request_unplug() noexcept = 0;
  /// Whether the guest has let go of it. Asked four times a second.
  virtual bool unplugged() const noexcept = 0;
  /// The guest stays here: it may have the device back.
  virtual void plug_back() noexcept = 0;
};

}  // namespace tern
