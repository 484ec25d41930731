// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/control_plane.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include "migration/params/validate.h"
#include "migration/qmp/server.h"
#include "tern/version.h"

namespace tern::qmp {
namespace {
constexpr QmpVersion kOwnVersion{TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_MICRO};
}

Result<std::unique_ptr<ControlPlane>> ControlPlaneImpl::create(const Machine& machine, QmpVm& vm,
                                                               const QmpOptions& options,
                                                               EngineFactory factory) noexcept {
  if (machine.vcpus == nullptr) {
    return Error(ErrorCode::invalid_argument, "a control plane needs Machine::vcpus");
  }
  if (machine.events != nullptr) {
    return Error(ErrorCode::invalid_argument,
                 "Machine::events must be empty: the control plane takes the events itself");
  }
  if (options.settings) TERN_TRY(params::validate(*options.settings));
  Fd stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd) {
    return errno_error(ErrorCode::resource_exhausted, "cannot create an eventfd", errno);
  }
  return std::unique_ptr<ControlPlane>(
      new ControlPlaneImpl(machine, vm, options, std::move(factory), std::move(stop_fd)));
}

// Migrations and measurements of one VM share its tracker.
Machine ControlPlaneImpl::with_parts(Machine machine) noexcept {
  machine.vcpus = &run_states_;
  machine.objects = &objects_;
  const std::string prefix = options_.settings ? options_.settings->thread_prefix : "";
  if (machine.harvester == nullptr && machine.tracker != nullptr) {
    own_harvester_ = DirtyHarvester::create(*machine.tracker, log_, prefix);
    machine.harvester = own_harvester_.get();
  }
  if (machine.dirty_limit == nullptr && machine.harvester != nullptr) {
    auto limit = DirtyLimit::create({machine.harvester, machine.vcpus, machine.ram, &log_, prefix});
    if (limit) own_dirty_limit_ = std::move(*limit);  // else no vCPU can be held, and that is said
    machine.dirty_limit = own_dirty_limit_.get();
  }
  return machine;
}

ControlPlaneImpl::ControlPlaneImpl(const Machine& machine, QmpVm& vm, const QmpOptions& options,
                                   EngineFactory factory, Fd stop_fd) noexcept
    : vm_(vm),
      options_(options),
      log_(machine.log != nullptr ? *machine.log : null_log()),
      stop_fd_(std::move(stop_fd)),
      hub_(machine.clock != nullptr ? *machine.clock : system_clock()),
      run_states_(*machine.vcpus, hub_, log_),
      objects_(machine.objects != nullptr ? *machine.objects : own_objects_),
      machine_(with_parts(machine)),
      dirty_rate_(DirtyRateMeter::create(machine_).value_or(nullptr)),
      announcements_(machine.announcer),
      migrations_({machine_, vm, hub_, run_states_, fds_, blockers_, log_, std::move(factory),
                   options.settings.value_or(params::qmp_defaults()), options.events,
                   options.exit_on_error}),
      dispatcher_(
          {machine_, vm, hub_, run_states_, fds_, migrations_, announcements_, objects_, log_,
           options.version.value_or(kOwnVersion), options.dispatcher != nullptr, dirty_rate_.get()},
          log_) {}

ControlPlaneImpl::~ControlPlaneImpl() {
  stop();
  const MutexLock lock(serving_mutex_);
  while (serving_ > 0) served_.wait(serving_mutex_);
}

Result<void> ControlPlaneImpl::begin() noexcept {
  return dispatcher_.exclusively([this]() -> Result<void> {
    if (options_.incoming.empty()) {
      if (!options_.paused) TERN_TRY(run_states_.resume_all());
      return {};
    }
    run_states_.begin_incoming(!options_.paused);
    if (options_.incoming == "defer") return {};
    return migrations_.listen(TERN_TRY(parse_uri(options_.incoming)), std::nullopt);
  });
}

Result<void> ControlPlaneImpl::serve_unix(const std::string& path) noexcept {
  {
    const MutexLock lock(serving_mutex_);
    ++serving_;
  }
  auto ended = serve(path, {dispatcher_, options_.dispatcher, hub_, vm_, log_, stop_fd_.get()});
  const MutexLock lock(serving_mutex_);
  --serving_;
  served_.notify_all();
  return ended;
}

std::string ControlPlaneImpl::execute(std::string_view request) noexcept {
  Session session;
  session.negotiated = true;
  Request read = Dispatcher::read(request, false);
  Reply reply = dispatcher_.execute(read, session);
  reply.line.resize(reply.line.size() - 2);  // the CR LF of a connection
  if (reply.quit) vm_.quit();
  return std::move(reply.line);
}

void ControlPlaneImpl::host_signal() noexcept {
  hub_.emit("SHUTDOWN", {{"guest", false}, {"reason", "host-signal"}});
}

Result<BlockerId> ControlPlaneImpl::add_migration_blocker(std::string reason) noexcept {
  return blockers_.add(std::move(reason), [this] { return migrations_.is_migrating(); });
}

void ControlPlaneImpl::remove_migration_blocker(BlockerId blocker) noexcept {
  blockers_.remove(blocker);
}

void ControlPlaneImpl::stop() noexcept { wake(stop_fd_.get()); }

}  // namespace tern::qmp
