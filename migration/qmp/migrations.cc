// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/migrations.h"

#include <utility>

#include "migration/params/validate.h"
#include "migration/qmp/migration_info.h"
#include "migration/state/transitions.h"

namespace tern::qmp {
namespace {

constexpr size_t kEvents = params::capability_index("events");

Error refused(std::string text) noexcept {
  return {ErrorCode::failed_precondition, std::move(text)};
}

// Tells the VMM, too, when an incoming migration has failed.
class IncomingForwarder final : public EventForwarder {
 public:
  IncomingForwarder(EventHub& hub, const std::atomic<bool>& enabled, QmpVm& vm,
                    const VcpuControl& vcpus, bool exit_on_error) noexcept
      : EventForwarder(hub, enabled), vm_(vm), vcpus_(vcpus), exit_on_error_(exit_on_error) {}

  void watch(const MigrationDestination& engine) noexcept { engine_ = &engine; }

  void on_event(const Event& event) noexcept override {
    EventForwarder::on_event(event);
    const auto* changed = std::get_if<StatusChanged>(&event);
    if (changed == nullptr) return;
    if (changed->status == Status::completed) {
      came_stopped_.store(vcpus_.run_state() != RunState::running);
    }
    if (changed->status != Status::failed) return;
    const Error error(ErrorCode::channel,
                      "incoming migration failed: " + engine_->stats().error_desc);
    if (exit_on_error_) vm_.incoming_failed(error);
  }

  bool take_announcement_due() noexcept { return came_stopped_.exchange(false); }

 private:
  QmpVm& vm_;
  const VcpuControl& vcpus_;
  std::atomic<bool> came_stopped_{false};
  const bool exit_on_error_;
  const MigrationDestination* engine_ = nullptr;  // set before it can tell anything
};

}  // namespace

// Sinks stand first: the engine, destroyed before them, may tell something to its last moment.
struct Migrations::Outgoing {
  EventForwarder sink;
  std::unique_ptr<MigrationSource> engine;
};
struct Migrations::Incoming {
  IncomingForwarder sink;
  std::unique_ptr<MigrationDestination> engine;
};

void EventForwarder::on_event(const Event& event) noexcept {
  if (const auto* unplug = std::get_if<UnplugRequested>(&event)) {
    hub_.emit("UNPLUG_PRIMARY", {{"device-id", unplug->device_id}});
  }
  if (!enabled_.load()) return;
  if (const auto* changed = std::get_if<StatusChanged>(&event)) {
    hub_.emit("MIGRATION", {{"status", to_string(changed->status)}});
  } else if (const auto* pass = std::get_if<PassStarted>(&event)) {
    hub_.emit("MIGRATION_PASS", {{"pass", pass->pass}});
  }
}

Migrations::Migrations(Parts parts) noexcept
    : parts_(std::move(parts)), settings_(parts_.settings), events_(parts_.events) {
  if (!settings_.peer_version) {
    settings_.peer_version = peer_version_of_machine(parts_.machine.name);
  }
}

Migrations::~Migrations() = default;

StatsSnapshot Migrations::outgoing() const noexcept {
  return outgoing_ ? outgoing_->engine->stats() : last_outgoing_;
}

Result<void> Migrations::may_start() const noexcept {
  if (is_running(outgoing().status)) return refused("There is a migration process in progress");
  switch (parts_.run_states.run_state()) {
    case RunState::inmigrate:
      return refused("This VM is waiting for an incoming migration, it cannot migrate away");
    case RunState::postmigrate:
      return refused("The guest was migrated away already; take it back with 'cont' first");
    default:
      return {};
  }
}

void Migrations::tell(Status status) noexcept {
  EventForwarder(parts_.hub, events_).on_event(StatusChanged{status});
}

void Migrations::retire_outgoing() noexcept {
  if (!outgoing_) return;
  // Its threads have ended or are about to: the status is a final one. What it said stays visible
  // until the next one has a status of its own.
  outgoing_->engine->wait();
  last_outgoing_ = outgoing_->engine->stats();
  std::unique_ptr<Outgoing> over;
  const MutexLock lock(engines_mutex_);
  over.swap(outgoing_);
}

Error Migrations::failed_at_once(Error error) noexcept {
  retire_outgoing();
  last_outgoing_ = StatsSnapshot{};
  last_outgoing_.status = Status::failed;
  last_outgoing_.ending = Ending::kept;
  last_outgoing_.error_desc = error.message();
  tell(Status::setup);
  tell(Status::failed);
  return error;
}

Result<void> Migrations::resolve_fd(Address& address, Fd& taken, bool numbers) noexcept {
  auto* named = std::get_if<FdAddress>(&address);
  if (named == nullptr) return {};
  // A destination may be given a descriptor that the process was started with. A source may not:
  // any number, that of the guest's memory even, would be written to.
  const bool number = !named->str.empty() && named->str[0] >= '0' && named->str[0] <= '9';
  if (numbers && number) return {};
  taken = TERN_TRY(parts_.fds.take(named->str));
  named->str = std::to_string(taken.get());
  return {};
}

Result<void> Migrations::start(Address address) noexcept {
  TERN_TRY(may_start());
  return parts_.blockers.unless_blocked([&]() -> Result<void> {
    TERN_TRY(params::validate(settings_));
    Fd taken;
    if (Result<void> found = resolve_fd(address, taken, false); !found) {
      return failed_at_once(std::move(found).error());
    }
    return start_engine(address, taken);
  });
}

Result<void> Migrations::start_engine(const Address& address, Fd& taken) noexcept {
  retire_outgoing();
  std::unique_ptr<Outgoing> next(new Outgoing{EventForwarder(parts_.hub, events_), nullptr});
  Machine machine = parts_.machine;
  machine.events = &next->sink;
  next->engine = TERN_TRY(parts_.factory.source(machine, settings_));
  {
    // Before it starts: whoever hears of its first event may want to yank it.
    const MutexLock lock(engines_mutex_);
    outgoing_ = std::move(next);
  }
  (void)taken.release();  // the engine's from here on, whatever comes of it
  Result<void> started = outgoing_->engine->start(address);
  if (started || outgoing_->engine->stats().status != Status::none) return started;
  {
    const MutexLock lock(engines_mutex_);
    outgoing_.swap(next);
  }
  // An address that can never work leaves everything as it was; a descriptor that is no good is
  // shown as a connection that failed.
  if (std::holds_alternative<FdAddress>(address)) return failed_at_once(std::move(started).error());
  return started;
}

bool Migrations::is_migrating() const noexcept {
  const MutexLock lock(engines_mutex_);
  return outgoing_ && is_running(outgoing_->engine->stats().status);
}

bool Migrations::can_yank() const noexcept {
  const MutexLock lock(engines_mutex_);
  return (outgoing_ && is_running(outgoing_->engine->stats().status)) ||
         (incoming_ && is_running(incoming_->engine->stats().status));
}

void Migrations::yank() noexcept {
  const MutexLock lock(engines_mutex_);
  if (outgoing_) outgoing_->engine->yank();
  if (incoming_) incoming_->engine->yank();
}

std::vector<ThreadInfo> Migrations::threads() const noexcept {
  std::vector<ThreadInfo> all;
  if (outgoing_) all = outgoing_->engine->threads();
  if (incoming_) {
    for (ThreadInfo& thread : incoming_->engine->threads()) all.push_back(std::move(thread));
  }
  return all;
}

bool Migrations::take_announcement_due() noexcept {
  return incoming_ && parts_.run_states.run_state() == RunState::running &&
         incoming_->sink.take_announcement_due();
}

Result<void> Migrations::cancel() noexcept {
  if (!outgoing_) return {};
  Result<void> cancelled = outgoing_->engine->cancel();
  // Nothing to cancel, or too late: QMP's migrate_cancel succeeds, and the status tells what became
  // of it.
  if (!cancelled && cancelled.error().code() == ErrorCode::failed_precondition) return {};
  return cancelled;
}

Result<void> Migrations::continue_from(Status state) noexcept {
  const Status now = outgoing().status;
  if (now != state) {
    return refused("Migration is in state '" + std::string(to_string(now)) + "', not '" +
                   std::string(to_string(state)) + "'");
  }
  if (state != Status::pre_switchover) return {};
  return outgoing_->engine->continue_from(state);
}

Result<void> Migrations::may_listen() const noexcept {
  if (incoming_) return refused("The incoming migration has already been started");
  if (parts_.run_states.run_state() != RunState::inmigrate) {
    return refused("This VM was not started to wait for an incoming migration");
  }
  return {};
}

Result<void> Migrations::listen(Address address, std::optional<bool> exit_on_error) noexcept {
  TERN_TRY(may_listen());
  TERN_TRY(params::validate(settings_));
  Fd taken;
  TERN_TRY(resolve_fd(address, taken, true));
  const bool exit = exit_on_error.value_or(parts_.exit_on_error);
  std::unique_ptr<Incoming> next(new Incoming{
      IncomingForwarder(parts_.hub, events_, parts_.vm, parts_.run_states, exit), nullptr});
  Machine machine = parts_.machine;
  machine.events = &next->sink;
  next->engine = TERN_TRY(parts_.factory.destination(machine, settings_));
  next->sink.watch(*next->engine);
  (void)taken.release();  // the engine's from here on, whatever comes of it
  Result<void> listening = next->engine->listen(address);
  // Without a listener it is as if nothing had been asked, so that a client can try another
  // address.
  if (listening) {
    const MutexLock lock(engines_mutex_);
    incoming_ = std::move(next);
  }
  return listening;
}

Json Migrations::info() const noexcept {
  const StatsSnapshot source = outgoing();
  MigrationSides sides;
  sides.outgoing = &source;
  sides.blocked_reasons = parts_.blockers.reasons();
  if (!incoming_) return migration_info(sides);
  const StatsSnapshot destination = incoming_->engine->stats();
  const std::vector<Address> listening = incoming_->engine->listening();
  sides.incoming = &destination;
  sides.listening = listening;
  return migration_info(sides);
}

params::CapabilitySet Migrations::capabilities() const noexcept {
  params::CapabilitySet on = params::capabilities_of(settings_);
  on.set(kEvents, events_.load());
  return on;
}

Result<void> Migrations::set_parameters(Settings wanted) noexcept {
  TERN_TRY(params::validate(wanted));
  settings_ = std::move(wanted);
  if (outgoing_ && is_running(outgoing_->engine->stats().status)) {
    outgoing_->engine->update(settings_);
  }
  if (incoming_) incoming_->engine->update(settings_);
  return {};
}

// QEMU says it here, too, and not when the migration is about to begin.
Result<void> Migrations::check_dirty_limit() const noexcept {
  const DirtyLimit* limit = parts_.machine.dirty_limit;
  if (limit != nullptr) return limit->available();
  return refused("dirty-limit needs vCPUs that can be held back and a tracker of what they write");
}

Result<void> Migrations::set_capabilities(const params::CapabilitySet& wanted) noexcept {
  TERN_TRY(params::check(wanted));
  const params::CapabilitySet fresh = wanted & ~capabilities();
  // A guest that has arrived may be sent on with any of them.
  const bool still_incoming = incoming_ && parts_.run_states.run_state() == RunState::inmigrate;
  for (size_t i = 0; i < params::kCapabilities.size(); ++i) {
    if (!still_incoming || !fresh.test(i) || !params::kCapabilities[i].before_listening) continue;
    return refused("Capability '" + std::string(params::kCapabilities[i].name) +
                   "' must be set before listening begins");
  }
  Settings with = settings_;
  params::store(wanted, with);
  TERN_TRY(params::validate(with));
  if (with.dirty_limit && !settings_.dirty_limit) TERN_TRY(check_dirty_limit());
  settings_ = std::move(with);
  events_.store(wanted.test(kEvents));
  return {};
}

}  // namespace tern::qmp
