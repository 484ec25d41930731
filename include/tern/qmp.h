// SPDX-License-Identifier: Apache-2.0
//
// QEMU's control plane for a VMM that embeds tern: QMP with the migration commands and the few base
// commands that management layers expect. The control plane owns the migrations it starts and keeps
// QEMU's run-state rules; the VMM implements QmpVm.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tern/machine.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern {

/// What the VMM does for QMP besides migrating. Calls come from the thread that executes commands.
class TERN_API QmpVm {
 public:
  virtual ~QmpVm() = default;
  virtual std::string name() const noexcept = 0;  ///< "" if none
  /// The guest runs under KVM: query-kvm.
  virtual bool kvm() const noexcept { return false; }
  /// The reply to `quit` is on its way; end the process soon. Called while the command runs: note
  /// it, and wait for nothing of the control plane here.
  virtual void quit() noexcept = 0;
  /// The incoming migration failed and exit-on-error is in force. The message has been logged.
  /// Called on a migration thread: note it and end the process soon from another one; of the
  /// control plane only stop() may be called here.
  virtual void incoming_failed(const Error& error) noexcept = 0;
};

/// Where ordinary commands run: the VMM's main loop, usually.
/// Thread rules: post is called on the threads that serve connections, several at once.
class TERN_API QmpDispatcher {
 public:
  virtual ~QmpDispatcher() = default;
  /// Runs `work` soon, on any thread but not inside this call, or drops it if the VMM is ending.
  /// Works of one connection are never posted two at a time; tern runs works of several one at a
  /// time.
  virtual void post(std::function<void()> work) noexcept = 0;
};

/// What query-version and the greeting say instead of tern's own version: some clients decide by it
/// what they may ask for.
struct QmpVersion {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t micro = 0;
};

struct QmpOptions {
  /// Address given on the command line: "" is an ordinary start, "defer" waits for
  /// migrate-incoming.
  std::string incoming;
  /// -S: do not start by itself.
  bool paused = false;
  /// End the process when an incoming migration fails.
  bool exit_on_error = true;
  /// nullptr: commands run on the threads that serve connections, and none can be executed out of
  /// band (the greeting then does not offer "oob").
  QmpDispatcher* dispatcher = nullptr;
  /// Not set: tern's version.
  std::optional<QmpVersion> version;
  /// What parameters and capabilities start from; not set: QEMU's defaults (qmp_settings()).
  std::optional<Settings> settings;
  /// Whether the capability `events` is on from the beginning.
  bool events = false;
};

/// Names one migration blocker until it is removed.
enum class BlockerId : uint64_t {};

/// The control plane of one VM. Any number of connections may use it.
/// Thread rules: any thread; commands run one at a time.
class TERN_API ControlPlane {
 public:
  /// `machine.vcpus` is the VMM's; the control plane passes a wrapper of it to migrations so that
  /// STOP and RESUME are told. machine.events must be nullptr.
  /// Errors: invalid_argument (no vcpus, settings that are out of range or do not go together).
  static Result<std::unique_ptr<ControlPlane>> create(const Machine& machine, QmpVm& vm,
                                                      const QmpOptions& options) noexcept;
  /// Ends what still runs and waits for all serve_unix calls to return.
  virtual ~ControlPlane() = default;

  /// Starts the guest, or listens, as the options say. Errors: those of listen.
  virtual Result<void> begin() noexcept = 0;

  /// Serves QMP on a Unix socket until stop() is called: accepts one client after the other. Runs
  /// on the caller's thread; call it on several threads with several paths to serve several
  /// clients. The socket has mode 0600; a stale socket file is replaced, a live one is an error.
  virtual Result<void> serve_unix(const std::string& path) noexcept = 0;

  /// Executes one request given as JSON text and returns the reply as JSON text, as a negotiated
  /// client.
  virtual std::string execute(std::string_view request) noexcept = 0;

  /// Ends all serve_unix calls. Any thread.
  virtual void stop() noexcept = 0;

  /// The VMM was told to end from outside (SIGTERM): QMP's SHUTDOWN event with that reason. Any
  /// thread; the VMM ends by itself.
  virtual void host_signal() noexcept = 0;

  /// From now on `migrate` is refused with `reason` (1..1000 bytes), which query-migrate lists in
  /// blocked-reasons: for a device that cannot migrate, or an operation that must not be disturbed.
  /// May wait while a `migrate` begins. Errors: invalid_argument (no reason), failed_precondition
  /// (a migration runs or winds down: too late, or, in UnplugDevice::plug_back, too early).
  virtual Result<BlockerId> add_migration_blocker(std::string reason) noexcept = 0;
  /// Unknown ones are ignored.
  virtual void remove_migration_blocker(BlockerId blocker) noexcept = 0;

  /// The guest ended by itself (shutdown, triple fault): run state and event.
  virtual void guest_shutdown() noexcept = 0;
};

}  // namespace tern
