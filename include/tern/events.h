// SPDX-License-Identifier: Apache-2.0
//
// What a migration tells while it goes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// QEMU's MigrationStatus, its words. `failing`, `postcopy_device` and `postcopy_recover_setup`
/// exist in newer QEMU only.
enum class Status {
  none,
  setup,
  wait_unplug,
  active,
  pre_switchover,
  device,
  postcopy_device,
  postcopy_active,
  postcopy_paused,
  postcopy_recover_setup,
  postcopy_recover,
  colo,
  cancelling,
  cancelled,
  failing,
  failed,
  completed,
};
inline constexpr int kStatusCount = 17;

/// "postcopy-active".
TERN_API std::string_view to_string(Status status) noexcept;

/// The state machine moved. QMP: MIGRATION.
struct StatusChanged {
  Status status;
};
/// A dirty sync ended; `pass` is dirty-sync-count. QMP: MIGRATION_PASS.
struct PassStarted {
  uint64_t pass;
};
/// The guest was asked to let go of a device. QMP: UNPLUG_PRIMARY.
struct UnplugRequested {
  std::string device_id;
};
using Event = std::variant<StatusChanged, PassStarted, UnplugRequested>;

/// Thread rules: called on tern's threads, one call at a time for one migration, in the order in
/// which things happened; must not block for long and must not destroy the migration. May call
/// stats().
class TERN_API EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) noexcept = 0;
};

}  // namespace tern
