// SPDX-License-Identifier: Apache-2.0
//
// tern::ControlPlane: builds the parts of the QMP server and owns them. Every decision is in one of
// the parts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "migration/qmp/dispatcher.h"
#include "migration/qmp/engine_factory.h"
#include "migration/qmp/event_hub.h"
#include "migration/qmp/fd_table.h"
#include "migration/qmp/migrations.h"
#include "migration/qmp/run_states.h"
#include "tern/qmp.h"

namespace tern::qmp {

class ControlPlaneImpl final : public ControlPlane {
 public:
  static Result<std::unique_ptr<ControlPlane>> create(const Machine& machine, QmpVm& vm,
                                                      const QmpOptions& options,
                                                      EngineFactory factory) noexcept;
  ~ControlPlaneImpl() override;

  Result<void> begin() noexcept override;
  Result<void> serve_unix(const std::string& path) noexcept override;
  std::string execute(std::string_view request) noexcept override;
  void stop() noexcept override;
  void host_signal() noexcept override;
  Result<BlockerId> add_migration_blocker(std::string reason) noexcept override;
  void remove_migration_blocker(BlockerId blocker) noexcept override;
  void guest_shutdown() noexcept override { run_states_.guest_shutdown(); }

 private:
  ControlPlaneImpl(const Machine& machine, QmpVm& vm, const QmpOptions& options,
                   EngineFactory factory, Fd stop_fd) noexcept;
  Machine with_parts(Machine machine) noexcept;

  Mutex serving_mutex_;
  CondVar served_;
  int serving_ TERN_GUARDED_BY(serving_mutex_) = 0;  // calls of serve_unix

  // In the order of destruction backwards: migrations end while everything they tell to still
  // stands.
  QmpVm& vm_;
  const QmpOptions options_;
  LogSink& log_;
  const Fd stop_fd_;
  EventHub hub_;
  RunStates run_states_;
  ObjectStore own_objects_;  // for a machine that brings none
  ObjectStore& objects_;
  std::unique_ptr<DirtyHarvester> own_harvester_;  // for a machine that brings none
  std::unique_ptr<DirtyLimit> own_dirty_limit_;    // the same
  const Machine machine_;                          // with our vcpus, objects and harvester
  std::unique_ptr<DirtyRateMeter> dirty_rate_;
  FdTable fds_;
  Blockers blockers_;
  Announcements announcements_;
  Migrations migrations_;
  Dispatcher dispatcher_;
};

}  // namespace tern::qmp
