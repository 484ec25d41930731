// SPDX-License-Identifier: Apache-2.0
//
// The machine that migrates: what an embedder hands to MigrationSource and MigrationDestination.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tern/announce.h"
#include "tern/clock.h"
#include "tern/device_section.h"
#include "tern/dirty_harvester.h"
#include "tern/dirty_limit.h"
#include "tern/dirty_tracker.h"
#include "tern/events.h"
#include "tern/log.h"
#include "tern/objects.h"
#include "tern/ram_block.h"
#include "tern/unplug.h"
#include "tern/vcpu_control.h"

namespace tern {

using Uuid = std::array<uint8_t, 16>;

/// Everything pointed to outlives the migration. Nothing here is owned.
struct Machine {
  /// Name in the stream's configuration section; must be equal on both sides. tern-vmm's are
  /// "tern-kvm", "tern-threads" and "none".
  std::string name = "none";
  std::span<const RamBlock> ram;
  /// Source only. nullptr: nothing tracks writes; then the guest must be stopped while it migrates.
  DirtyTracker* tracker = nullptr;
  /// Source only: what shares `tracker` with others while a migration runs (a measurement, a second
  /// control plane). Optional: a control plane makes one for all it does, a migration one for
  /// itself. Where it is given, `tracker` is not used.
  DirtyHarvester* harvester = nullptr;
  /// Source only: whose limits the capability dirty-limit sets. Optional: a control plane makes
  /// one, and a migration that needs it makes one for itself.
  DirtyLimit* dirty_limit = nullptr;
  VcpuControl* vcpus = nullptr;  ///< required
  std::span<DeviceSection* const> devices;
  /// Source only: devices that the guest must let go of before it can migrate.
  std::span<UnplugDevice* const> unplug;
  /// Destination only: tells the network where the guest is once it runs here. Optional.
  SelfAnnouncer* announcer = nullptr;
  /// What settings name by an id: TLS credentials, authz. Optional; a control plane without one has
  /// its own.
  ObjectStore* objects = nullptr;
  std::optional<Uuid> uuid;
  EventSink* events = nullptr;  ///< optional
  Clock* clock = nullptr;       ///< optional: system_clock()
  LogSink* log = nullptr;       ///< optional: null_log()
};

}  // namespace tern
