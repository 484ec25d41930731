// SPDX-License-Identifier: Apache-2.0
//
// What the migration commands mean: the settings, the one outgoing and the one incoming migration
// of the VM, and the rules about when which command is allowed. Knows nothing of requests, replies
// or connections.
//
// Thread rules: every member function is called with commands one at a time (the command lock),
// except those marked "any thread".
// Migrations tell events on their own threads; those paths touch only the hub, an atomic and the
// migration that tells. A finished migration is destroyed here, by the command that starts the next
// one, never on a thread of its own. No lock that an event path takes is held while a migration is
// called.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "migration/params/capabilities.h"
#include "migration/qmp/blockers.h"
#include "migration/qmp/engine_factory.h"
#include "migration/qmp/event_hub.h"
#include "migration/qmp/fd_table.h"
#include "migration/qmp/run_states.h"
#include "tern/address.h"
#include "tern/log.h"
#include "tern/machine.h"
#include "tern/qmp.h"

namespace tern::qmp {

/// Tells one migration's events to the clients, while the events capability is on.
class EventForwarder : public EventSink {
 public:
  EventForwarder(EventHub& hub, const std::atomic<bool>& enabled) noexcept
      : hub_(hub), enabled_(enabled) {}
  void on_event(const Event& event) noexcept override;

 private:
  EventHub& hub_;
  const std::atomic<bool>& enabled_;
};

class Migrations {
 public:
  struct Parts {
    Machine machine;  // vcpus is run_states; events is nullptr
    QmpVm& vm;
    EventHub& hub;
    RunStates& run_states;
    FdTable& fds;
    Blockers& blockers;
    LogSink& log;
    EngineFactory factory;
    Settings settings;   // to start from
    bool events;         // the capability, to start from
    bool exit_on_error;  // unless migrate-incoming says otherwise
  };
  explicit Migrations(Parts parts) noexcept;
  ~Migrations();

  // ---- outgoing
  /// Everything that must hold before a migration may begin. Errors: failed_precondition.
  Result<void> may_start() const noexcept;
  /// Errors: may_start's, and what failed at once.
  Result<void> start(Address address) noexcept;
  Result<void> cancel() noexcept;
  /// Errors: failed_precondition if the status is not `state`.
  Result<void> continue_from(Status state) noexcept;
  StatsSnapshot outgoing() const noexcept;
  /// Whether an outgoing migration is under way. Any thread.
  bool is_migrating() const noexcept TERN_EXCLUDES(engines_mutex_);

  // ---- incoming
  /// Errors: failed_precondition (not a destination, started already).
  Result<void> may_listen() const noexcept;
  /// Errors: may_listen's, those of listening; after an error it may be called again.
  Result<void> listen(Address address, std::optional<bool> exit_on_error) noexcept;

  /// The guest was just allowed to run: true once if it came here stopped, so that nobody has been
  /// told where it is.
  bool take_announcement_due() noexcept;

  // ---- both
  Json info() const noexcept;
  std::vector<ThreadInfo> threads() const noexcept;
  /// Whether there is a migration from its beginning to its end, on either side. Any thread.
  bool can_yank() const noexcept TERN_EXCLUDES(engines_mutex_);
  /// Any thread.
  void yank() noexcept TERN_EXCLUDES(engines_mutex_);

  // ---- settings
  const Settings& settings() const noexcept { return settings_; }
  params::CapabilitySet capabilities() const noexcept;
  /// All or nothing; live values act on a migration that runs. Errors: invalid_argument.
  Result<void> set_parameters(Settings wanted) noexcept;
  /// Errors: invalid_argument, failed_precondition (too late on this side).
  Result<void> set_capabilities(const params::CapabilitySet& wanted) noexcept;

 private:
  Result<void> check_dirty_limit() const noexcept;
  struct Outgoing;
  struct Incoming;

  Result<void> start_engine(const Address& address, Fd& taken) noexcept
      TERN_EXCLUDES(engines_mutex_);
  /// fd:NAME becomes fd:NUMBER; `taken` then owns the descriptor until somebody else does.
  Result<void> resolve_fd(Address& address, Fd& taken, bool numbers) noexcept;
  /// What QEMU shows when the connection cannot even be tried: setup, then failed.
  Error failed_at_once(Error error) noexcept;
  void retire_outgoing() noexcept;
  void tell(Status status) noexcept;

  Parts parts_;
  Settings settings_;
  std::atomic<bool> events_{false};
  StatsSnapshot last_outgoing_;  // of the one before, while there is no present one
  // Written with the command lock and engines_mutex_ held, so that either is enough to read them;
  // what may be called on any thread takes the latter.
  mutable Mutex engines_mutex_;
  std::unique_ptr<Outgoing> outgoing_;
  std::unique_ptr<Incoming> incoming_;
};

}  // namespace tern::qmp
