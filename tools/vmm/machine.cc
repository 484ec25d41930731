// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/machine.h"

namespace tern::vmm {

VmMachine::VmMachine(Ram ram, LogSink& log) noexcept
    : ram_(std::move(ram)), memory_(ram_.blocks()), log_(log) {}

Result<RunState> VmMachine::pause_all(RunState state) noexcept {
  const RunState before = run_state();
  if (before == RunState::running) TERN_TRY(stop_vcpus());
  enter(state);
  return before;
}

Result<void> VmMachine::resume_all() noexcept {
  if (run_state() == RunState::running) return {};
  const RunState before = run_state();
  enter(RunState::running);
  auto started = start_vcpus();
  if (!started) enter(before);
  return started;
}

void VmMachine::set_stopped_state(RunState state) noexcept { enter(state); }

void VmMachine::enter(RunState state) noexcept {
  state_ = state;
  memory_.hold_writes(state == RunState::finish_migrate);
}

}  // namespace tern::vmm
