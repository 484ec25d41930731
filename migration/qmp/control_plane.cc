// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/control_plane.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include "migration/qmp/server.h"

namespace tern::qmp {

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
  Fd stop_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd) {
    return errno_error(ErrorCode::resource_exhausted, "cannot create an eventfd", errno);
  }
  return std::unique_ptr<ControlPlane>(
      new ControlPlaneImpl(machine, vm, options, std::move(factory), std::move(stop_fd)));
}

Machine ControlPlaneImpl::with_vcpus(Machine machine, VcpuControl& vcpus) noexcept {
  machine.vcpus = &vcpus;
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
      machine_(with_vcpus(machine, run_states_)),
      migrations_(
          {machine_, vm, hub_, run_states_, fds_, log_, std::move(factory), options.exit_on_error}),
      dispatcher_({machine_, vm, hub_, run_states_, fds_, migrations_}, log_) {}

ControlPlaneImpl::~ControlPlaneImpl() { stop(); }

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
  return serve(path, {dispatcher_, hub_, vm_, log_, stop_fd_.get()});
}

std::string ControlPlaneImpl::execute(std::string_view request) noexcept {
  Session session;
  session.negotiated = true;
  Reply reply = dispatcher_.handle(request, session);
  reply.line.resize(reply.line.size() - 2);  // the CR LF of a connection
  if (reply.quit) vm_.quit();
  return std::move(reply.line);
}

void ControlPlaneImpl::stop() noexcept { wake(stop_fd_.get()); }

}  // namespace tern::qmp
