// SPDX-License-Identifier: Apache-2.0
//
// What all of tern-vmm's machines are: RAM, vCPUs that stop and go, devices that migrate. Owns the
// run state; what a vCPU is, is the machine's business.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "tern/device_section.h"
#include "tern/dirty_tracker.h"
#include "tern/log.h"
#include "tern/vcpu_control.h"
#include "tools/vmm/guest_memory.h"
#include "tools/vmm/guest_params.h"
#include "tools/vmm/ram.h"

namespace tern::vmm {

/// A machine stands still (run state prelaunch) when created. Thread rules: those of VcpuControl;
/// memory() from any thread. The order of destruction is machine, then tracker users are gone
/// already (no migration runs).
class VmMachine : public VcpuControl {
 public:
  ~VmMachine() override = default;

  /// The machine's name in the stream.
  virtual std::string_view name() const noexcept = 0;
  virtual uint32_t vcpus() const noexcept = 0;
  virtual std::span<DeviceSection* const> devices() noexcept = 0;
  /// What tells which pages this machine's guest writes. Errors: unsupported.
  virtual Result<std::unique_ptr<DirtyTracker>> make_tracker(LogSink& log) noexcept = 0;

  std::span<const RamBlock> ram() const noexcept { return ram_.blocks(); }
  GuestMemory& memory() noexcept { return memory_; }
  /// Called when the guest ends by itself (all vCPUs halted, shut down, crashed), on a vCPU's
  /// thread: it must not block and must not call the machine. Set it before the machine runs.
  void on_guest_end(std::function<void()> callback) noexcept { guest_end_ = std::move(callback); }

  RunState run_state() const noexcept final { return state_.load(); }
  Result<RunState> pause_all(RunState state) noexcept final;
  Result<void> resume_all() noexcept final;
  void set_stopped_state(RunState state) noexcept final;
  uint32_t vcpu_count() const noexcept final { return vcpus(); }

 protected:
  VmMachine(Ram ram, LogSink& log) noexcept;
  /// Returns when no vCPU runs, with nothing half done.
  virtual Result<void> stop_vcpus() noexcept = 0;
  virtual Result<void> start_vcpus() noexcept = 0;
  void guest_ended() noexcept {
    if (guest_end_) guest_end_();
  }
  LogSink& log() noexcept { return log_; }

 private:
  void enter(RunState state) noexcept;

  Ram ram_;
  GuestMemory memory_;
  LogSink& log_;
  std::function<void()> guest_end_;
  std::atomic<RunState> state_ = RunState::prelaunch;
};

}  // namespace tern::vmm
