// SPDX-License-Identifier: Apache-2.0
//
// The run state of the VM by QEMU's rules, and the VcpuControl that migrations get instead of the
// VMM's: every stop and start of the guest goes through here, whoever asks, and is told as STOP or
// RESUME.
//
// Locks: vcpus_mutex_ makes the calls into the VMM's VcpuControl one at a time and is held while
// vCPUs come to rest; state_mutex_ is a leaf under it. A vCPU thread may call guest_shutdown()
// while pause_all waits for that very thread, so guest_shutdown() takes only the leaf. No migration
// is ever called with either lock held.
#pragma once

#include "base/mutex.h"
#include "migration/qmp/event_hub.h"
#include "tern/log.h"
#include "tern/vcpu_control.h"

namespace tern::qmp {

class RunStates final : public VcpuControl {
 public:
  /// `vcpus` is the VMM's and must stand still.
  RunStates(VcpuControl& vcpus, EventHub& hub, LogSink& log) noexcept
      : vcpus_(vcpus), hub_(hub), log_(log) {}

  // VcpuControl, for migrations.
  RunState run_state() const noexcept override TERN_EXCLUDES(state_mutex_);
  Result<RunState> pause_all(RunState state) noexcept override TERN_EXCLUDES(vcpus_mutex_);
  /// In inmigrate the guest starts only if autostart is set at this moment: a `stop` or `cont` may
  /// come while it loads.
  Result<void> resume_all() noexcept override TERN_EXCLUDES(vcpus_mutex_);
  void set_stopped_state(RunState state) noexcept override TERN_EXCLUDES(vcpus_mutex_);
  uint32_t vcpu_count() const noexcept override { return vcpus_.vcpu_count(); }
  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override {
    vcpus_.hold_vcpu(vcpu, time);
  }

  // For commands.
  /// Errors: failed_precondition (switchover in progress, reset required); those of the VMM.
  Result<void> cont() noexcept TERN_EXCLUDES(vcpus_mutex_);
  Result<void> stop() noexcept TERN_EXCLUDES(vcpus_mutex_);
  bool autostart() const noexcept TERN_EXCLUDES(state_mutex_);

  /// Before the first command: the VM waits for an incoming migration.
  void begin_incoming(bool autostart) noexcept TERN_EXCLUDES(vcpus_mutex_);
  /// The guest ended by itself. Any thread, vCPU threads too.
  void guest_shutdown() noexcept TERN_EXCLUDES(state_mutex_);

 private:
  Result<RunState> pause_locked(RunState state) noexcept TERN_REQUIRES(vcpus_mutex_);
  Result<void> resume_locked() noexcept TERN_REQUIRES(vcpus_mutex_);
  void name_locked(RunState state) noexcept TERN_REQUIRES(vcpus_mutex_);
  void set(RunState state) noexcept TERN_EXCLUDES(state_mutex_);
  bool guest_ended() const noexcept TERN_EXCLUDES(state_mutex_);

  VcpuControl& vcpus_;
  EventHub& hub_;
  LogSink& log_;
  Mutex vcpus_mutex_;
  mutable Mutex state_mutex_;
  RunState state_ TERN_GUARDED_BY(state_mutex_) = RunState::prelaunch;
  bool autostart_ TERN_GUARDED_BY(state_mutex_) = true;
  bool guest_ended_ TERN_GUARDED_BY(state_mutex_) = false;
};

}  // namespace tern::qmp
