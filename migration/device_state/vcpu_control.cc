// SPDX-License-Identifier: Apache-2.0
#include "tern/vcpu_control.h"

#include <array>
#include <string>
#include <utility>

namespace tern {
namespace {
constexpr std::array<std::string_view, 16> kRunStateNames = {
    "debug",     "inmigrate",      "internal-error", "io-error", "paused",  "postmigrate",
    "prelaunch", "finish-migrate", "restore-vm",     "running",  "save-vm", "shutdown",
    "suspended", "watchdog",       "guest-panicked", "colo"};
}

std::string_view to_string(RunState state) noexcept {
  return kRunStateNames[static_cast<size_t>(state)];
}

void VcpuControl::hold_vcpu(uint32_t /*vcpu*/, Nanoseconds /*time*/) noexcept {}

Result<RunState> run_state_from(std::string_view text) noexcept {
  for (size_t i = 0; i < kRunStateNames.size(); ++i) {
    if (kRunStateNames[i] == text) return static_cast<RunState>(i);
  }
  return Error(ErrorCode::invalid_argument, "unknown run state '" + std::string(text) + "'");
}

Result<VcpuPauseGuard> VcpuPauseGuard::pause(VcpuControl& vcpus) noexcept {
  // One call that stops and tells: between a look and a stop a `cont` could slip in.
  const RunState before = TERN_TRY(vcpus.pause_all(RunState::finish_migrate));
  return VcpuPauseGuard(vcpus, before);
}

VcpuPauseGuard::VcpuPauseGuard(VcpuPauseGuard&& other) noexcept
    : vcpus_(std::exchange(other.vcpus_, nullptr)), before_(other.before_) {}

VcpuPauseGuard::~VcpuPauseGuard() {
  std::move(*this).undo().ignore("a destructor cannot tell; callers that can, call undo()");
}

void VcpuPauseGuard::release(RunState state) && noexcept {
  if (vcpus_ == nullptr) return;
  vcpus_->set_stopped_state(state);
  vcpus_ = nullptr;
}

Result<void> VcpuPauseGuard::undo() && noexcept {
  VcpuControl* vcpus = std::exchange(vcpus_, nullptr);
  if (vcpus == nullptr) return {};
  if (before_ == RunState::running) return vcpus->resume_all();
  vcpus->set_stopped_state(before_);
  return {};
}

}  // namespace tern
