// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/run_states.h"

#include <string>

namespace tern::qmp {

RunState RunStates::run_state() const noexcept {
  MutexLock lock(state_mutex_);
  return state_;
}

bool RunStates::autostart() const noexcept {
  MutexLock lock(state_mutex_);
  return autostart_;
}

bool RunStates::guest_ended() const noexcept {
  MutexLock lock(state_mutex_);
  return guest_ended_;
}

void RunStates::set(RunState state) noexcept {
  MutexLock lock(state_mutex_);
  state_ = state;
}

Result<RunState> RunStates::pause_locked(RunState state) noexcept {
  const RunState before = run_state();
  TERN_TRY(vcpus_.pause_all(state));
  set(state);
  if (before == RunState::running) hub_.emit("STOP");
  return before;
}

void RunStates::name_locked(RunState state) noexcept {
  vcpus_.set_stopped_state(state);
  set(state);
}

Result<void> RunStates::resume_locked() noexcept {
  // A guest that shut itself down while it was being stopped has nothing left to run.
  if (guest_ended()) {
    name_locked(RunState::shutdown);
    return {};
  }
  const RunState before = run_state();
  if (before == RunState::running) return {};
  // Named before it runs: what it does at once, its end even, is done by a running guest.
  set(RunState::running);
  Result<void> resumed = vcpus_.resume_all();
  if (!resumed) {
    set(before);
    return resumed;
  }
  hub_.emit("RESUME");
  return {};
}

Result<RunState> RunStates::pause_all(RunState state) noexcept {
  MutexLock lock(vcpus_mutex_);
  return pause_locked(state);
}

Result<void> RunStates::resume_all() noexcept {
  MutexLock lock(vcpus_mutex_);
  const RunState state = run_state();
  if (state == RunState::inmigrate && !autostart()) {
    name_locked(RunState::paused);
    return {};
  }
  return resume_locked();
}

void RunStates::set_stopped_state(RunState state) noexcept {
  MutexLock lock(vcpus_mutex_);
  // Nothing but a `cont` in the wrong moment can have started the guest again; it must not run on
  // under a name that says it stands.
  if (run_state() == RunState::running) {
    const Result<RunState> paused = pause_locked(state);
    if (!paused) {
      log_.log(LogLevel::error, "cannot stop the guest for " + std::string(to_string(state)) +
                                    ": " + paused.error().message());
    }
    return;
  }
  name_locked(state);
}

Result<void> RunStates::cont() noexcept {
  MutexLock lock(vcpus_mutex_);
  switch (run_state()) {
    case RunState::finish_migrate:
      return Error(ErrorCode::failed_precondition, "Migration is not finalized yet");
    case RunState::inmigrate: {
      MutexLock state_lock(state_mutex_);
      autostart_ = true;
      return {};
    }
    case RunState::shutdown:
    case RunState::internal_error:
      return Error(ErrorCode::failed_precondition, "Resetting the Virtual Machine is required");
    case RunState::postmigrate:
      log_.log(LogLevel::warning,
               "cont after a completed migration: if the guest runs at the destination too, both "
               "now write to "
               "the same disks and network");
      break;
    default:
      break;
  }
  return resume_locked();
}

Result<void> RunStates::stop() noexcept {
  MutexLock lock(vcpus_mutex_);
  const RunState state = run_state();
  if (state == RunState::inmigrate) {
    MutexLock state_lock(state_mutex_);
    autostart_ = false;
    return {};
  }
  if (state == RunState::running) {
    (void)TERN_TRY(pause_locked(RunState::paused));
    if (guest_ended()) name_locked(RunState::shutdown);
  }
  return {};
}

void RunStates::begin_incoming(bool autostart) noexcept {
  MutexLock lock(vcpus_mutex_);
  name_locked(RunState::inmigrate);
  MutexLock state_lock(state_mutex_);
  autostart_ = autostart;
}

void RunStates::guest_shutdown() noexcept {
  bool ran = false;
  {
    MutexLock lock(state_mutex_);
    guest_ended_ = true;
    ran = state_ == RunState::running;
    if (ran) state_ = RunState::shutdown;
  }
  hub_.emit("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
  if (ran) hub_.emit("STOP");
}

}  // namespace tern::qmp
