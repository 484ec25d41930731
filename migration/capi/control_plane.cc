// SPDX-License-Identifier: Apache-2.0
//
// The control plane for C: the VMM's side of QMP on top of callback tables, ControlPlane does the
// work.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "migration/capi/error.h"
#include "migration/capi/machine.h"
#include "migration/capi/settings.h"
#include "migration/capi/sized.h"
#include "migration/capi/text.h"
#include "tern/c/qmp.h"
#include "tern/qmp.h"

namespace tern::capi {
namespace {

class VmAdapter final : public QmpVm {
 public:
  explicit VmAdapter(const tern_qmp_vm& table) noexcept
      : calls_(table), name_(table.name != nullptr ? table.name : "") {}
  void adopt() noexcept { calls_.adopt(); }
  std::string name() const noexcept override { return name_; }
  bool kvm() const noexcept override { return calls_->kvm != 0; }
  void quit() noexcept override { calls_->quit(calls_.user()); }
  void incoming_failed(const Error& error) noexcept override {
    const tern_error told{error};
    calls_->incoming_failed(calls_.user(), &told);
  }

 private:
  Callbacks<tern_qmp_vm> calls_;
  std::string name_;
};

// Held by shared_ptr: a work that runs while the plane is freed posts the next one through it.
class DispatcherAdapter final : public QmpDispatcher,
                                public std::enable_shared_from_this<DispatcherAdapter> {
 public:
  explicit DispatcherAdapter(const tern_qmp_dispatcher& table) noexcept : calls_(table) {}
  void adopt() noexcept { calls_.adopt(); }
  void post(std::function<void()> work) noexcept override {
    calls_->post(calls_.user(), &run, &drop, new Work{shared_from_this(), std::move(work)});
  }

 private:
  struct Work {
    std::shared_ptr<DispatcherAdapter> dispatcher;
    std::function<void()> act;
  };
  static void run(void* work) noexcept {
    const std::unique_ptr<Work> owned(static_cast<Work*>(work));
    if (owned != nullptr) owned->act();
  }
  static void drop(void* work) noexcept { delete static_cast<Work*>(work); }

  Callbacks<tern_qmp_dispatcher> calls_;
};

Result<std::unique_ptr<VmAdapter>> read_vm(const tern_qmp_vm* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "vm"));
  if (table.quit == nullptr || table.incoming_failed == nullptr) {
    return Error(ErrorCode::invalid_argument, "vm: quit and incoming_failed are needed");
  }
  if (table.reserved != 0) return Error(ErrorCode::unsupported, "vm.reserved is not 0");
  return std::make_unique<VmAdapter>(table);
}

Result<std::shared_ptr<DispatcherAdapter>> read_dispatcher(
    const tern_qmp_dispatcher* given) noexcept {
  if (given == nullptr) return std::shared_ptr<DispatcherAdapter>();
  const auto table = TERN_TRY(read_sized(given, "options.dispatcher"));
  if (table.post == nullptr) {
    return Error(ErrorCode::invalid_argument, "options.dispatcher.post is NULL");
  }
  return std::make_shared<DispatcherAdapter>(table);
}

Result<QmpOptions> read_options(const tern_control_plane_options& given) noexcept {
  if (given.reserved != 0) return Error(ErrorCode::unsupported, "options.reserved is not 0");
  QmpOptions options;
  if (given.incoming != nullptr) options.incoming = given.incoming;
  options.paused = given.paused != 0;
  options.exit_on_error = given.no_exit_on_error == 0;
  options.events = given.events != 0;
  if (given.settings != nullptr) options.settings = given.settings->value;
  if (given.version != nullptr) {
    const auto version = TERN_TRY(read_sized(given.version, "options.version"));
    options.version = QmpVersion{version.major, version.minor, version.micro};
  }
  return options;
}

}  // namespace
}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

struct tern_control_plane {
  // These outlive the plane.
  std::shared_ptr<MachineParts> machine;
  std::unique_ptr<VmAdapter> vm;
  std::shared_ptr<DispatcherAdapter> dispatcher;
  std::unique_ptr<ControlPlane> plane;
};

int tern_control_plane_create(tern_machine* machine, const tern_qmp_vm* vm,
                              const tern_control_plane_options* options, tern_control_plane** out,
                              tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}, {"out", out}}));
    tern_control_plane_options given{};
    if (options != nullptr) given = TERN_TRY(read_sized(options, "options"));
    auto parts = std::make_unique<tern_control_plane>();
    parts->machine = machine->parts;
    parts->vm = TERN_TRY(read_vm(vm));
    parts->dispatcher = TERN_TRY(read_dispatcher(given.dispatcher));
    QmpOptions known = TERN_TRY(read_options(given));
    known.dispatcher = parts->dispatcher.get();
    parts->plane = TERN_TRY(ControlPlane::create(machine->parts->machine(), *parts->vm, known));
    parts->vm->adopt();
    if (parts->dispatcher != nullptr) parts->dispatcher->adopt();
    *out = parts.release();
    return {};
  });
}

void tern_control_plane_free(tern_control_plane* plane) noexcept { delete plane; }

int tern_control_plane_begin(tern_control_plane* plane, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"plane", plane}}));
    return plane->plane->begin();
  });
}

int tern_control_plane_serve_unix(tern_control_plane* plane, const char* path,
                                  tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"plane", plane}, {"path", path}}));
    return plane->plane->serve_unix(path);
  });
}

int tern_control_plane_execute(tern_control_plane* plane, const char* request, char** reply,
                               tern_error** error) noexcept {
  if (reply != nullptr) *reply = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"plane", plane}, {"request", request}, {"reply", reply}}));
    return give_text(reply, plane->plane->execute(request));
  });
}

void tern_control_plane_stop(tern_control_plane* plane) noexcept {
  if (plane != nullptr) plane->plane->stop();
}

void tern_control_plane_host_signal(tern_control_plane* plane) noexcept {
  if (plane != nullptr) plane->plane->host_signal();
}

void tern_control_plane_guest_shutdown(tern_control_plane* plane) noexcept {
  if (plane != nullptr) plane->plane->guest_shutdown();
}

int tern_control_plane_add_blocker(tern_control_plane* plane, const char* reason, uint64_t* blocker,
                                   tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"plane", plane}, {"reason", reason}, {"blocker", blocker}}));
    *blocker = static_cast<uint64_t>(TERN_TRY(plane->plane->add_migration_blocker(reason)));
    return {};
  });
}

void tern_control_plane_remove_blocker(tern_control_plane* plane, uint64_t blocker) noexcept {
  if (plane != nullptr) plane->plane->remove_migration_blocker(static_cast<BlockerId>(blocker));
}
