// SPDX-License-Identifier: Apache-2.0
//
// How tern stops and starts the guest: implemented by the VMM.
#pragma once

#include <cstdint>
#include <string_view>

#include "tern/clock.h"
#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// QEMU's RunState, in its words and order.
enum class RunState {
  debug,
  inmigrate,
  internal_error,
  io_error,
  paused,
  postmigrate,
  prelaunch,
  finish_migrate,
  restore_vm,
  running,
  save_vm,
  shutdown,
  suspended,
  watchdog,
  guest_panicked,
  colo,
};

/// QEMU's spelling: "finish-migrate".
TERN_API std::string_view to_string(RunState state) noexcept;
/// The other way; invalid_argument for an unknown word.
TERN_API Result<RunState> run_state_from(std::string_view text) noexcept;

/// Thread rules: called from tern's migration threads, never two calls at once for one machine.
/// Each call returns when it has taken effect.
class TERN_API VcpuControl {
 public:
  virtual ~VcpuControl() = default;
  /// What the guest is doing now. Only `running` means that it executes.
  virtual RunState run_state() const noexcept = 0;
  /// Stops all vCPUs and all device emulation that writes RAM; `state` is what run_state() shows
  /// afterwards. When it returns nothing writes guest RAM any more. Returns what run_state() was
  /// before, looked at in the same step. A guest that is stopped already only gets the new name.
  virtual Result<RunState> pause_all(RunState state) noexcept = 0;
  /// Lets the guest run. Idempotent.
  virtual Result<void> resume_all() noexcept = 0;
  /// The guest stays stopped, only the name of the reason changes.
  virtual void set_stopped_state(RunState state) noexcept = 0;

  // ---- throttling (auto-converge, dirty-limit); a VMM that does not implement it cannot have them
  /// How many vCPUs hold_vcpu takes, numbered from 0. 0: none can be held.
  virtual uint32_t vcpu_count() const noexcept { return 0; }
  /// Takes vCPU `vcpu` out of the guest as soon as possible and keeps it out for `time`; it goes on
  /// by itself. Does not wait for any of that. A hold on a vCPU that is held already takes the
  /// place of the first, counted from now (zero: it goes on at once); the guest being stopped ends
  /// every hold, and pause_all must not take longer because of one. Any thread, also between
  /// pause_all and resume_all, where it has no effect.
  virtual void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept;
};

/// The guest is stopped while this lives. Leaving the scope by any path without release() gives the
/// guest back what it did before: running again, or the stopped state it had.
class TERN_API VcpuPauseGuard {
 public:
  /// Stops the guest (state finish-migrate). Errors: those of pause_all; the guest then runs on.
  static Result<VcpuPauseGuard> pause(VcpuControl& vcpus) noexcept;
  VcpuPauseGuard(VcpuPauseGuard&& other) noexcept;
  VcpuPauseGuard& operator=(VcpuPauseGuard&&) = delete;
  VcpuPauseGuard(const VcpuPauseGuard&) = delete;
  ~VcpuPauseGuard();

  /// The state before the pause; what `globalstate` carries.
  RunState before() const noexcept { return before_; }
  /// The point of no return: the guest now belongs to the destination (or nobody knows), it stays
  /// stopped in state `state`.
  void release(RunState state) && noexcept;
  /// Gives the guest back now. Same as leaving the scope, but tells the error.
  Result<void> undo() && noexcept;

 private:
  VcpuPauseGuard(VcpuControl& vcpus, RunState before) noexcept : vcpus_(&vcpus), before_(before) {}
  VcpuControl* vcpus_;
  RunState before_;
};

}  // namespace tern
