// SPDX-License-Identifier: Apache-2.0
//
// The handle of a machine: the adapters of all that the embedder gave, and the Machine of them.
#pragma once

#include <memory>
#include <vector>

#include "migration/capi/callbacks.h"
#include "migration/capi/tracker.h"
#include "tern/c/machine.h"
#include "tern/dirty_limit.h"
#include "tern/machine.h"

namespace tern::capi {

/// Does not move: `machine` points into it.
class MachineParts {
 public:
  /// Errors: invalid_argument, unsupported. The callbacks are adopted on success only.
  static Result<std::shared_ptr<MachineParts>> create(const tern_machine_options* given) noexcept;
  MachineParts(const MachineParts&) = delete;
  MachineParts& operator=(const MachineParts&) = delete;

  const Machine& machine() const noexcept { return machine_; }
  VcpuControl& vcpus() noexcept { return *vcpus_; }

 private:
  MachineParts() noexcept = default;
  Result<void> make_dirty_limit() noexcept;
  Result<void> read_devices(const tern_machine_options& options) noexcept;
  Result<void> read_observers(const tern_machine_options& options) noexcept;
  void adopt() noexcept;

  // The tracker and the log come first: the others may use them until they are gone.
  std::shared_ptr<TrackerParts> tracker_;
  std::unique_ptr<LogAdapter> log_;
  std::shared_ptr<ObjectStore> objects_;
  std::unique_ptr<ClockAdapter> clock_;
  std::vector<RamBlock> ram_;
  std::unique_ptr<VcpuAdapter> vcpus_;
  std::unique_ptr<DirtyLimit> dirty_limit_;  // where vCPUs can be held and something tracks
  std::vector<std::unique_ptr<DeviceAdapter>> devices_;
  std::vector<DeviceSection*> device_pointers_;
  std::vector<std::unique_ptr<UnplugAdapter>> unplug_;
  std::vector<UnplugDevice*> unplug_pointers_;
  std::unique_ptr<AnnouncerAdapter> announcer_;
  std::unique_ptr<EventAdapter> events_;
  Machine machine_;
};

}  // namespace tern::capi

/// Shared with what uses it, so that handles can be freed in any order: the collectors of other
/// languages do not ask for one.
struct tern_machine {
  std::shared_ptr<tern::capi::MachineParts> parts;
};
