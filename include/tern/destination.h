// SPDX-License-Identifier: Apache-2.0
//
// The receiving side of one migration.
#pragma once

#include <memory>
#include <vector>

#include "tern/address.h"
#include "tern/machine.h"
#include "tern/result.h"
#include "tern/settings.h"
#include "tern/stats.h"
#include "tern/thread_info.h"

namespace tern {

/// One migration into this process. Create, listen, wait for completed.
///
/// The machine must be stopped (run state inmigrate) and is run by tern: when the stream is loaded
/// it calls VcpuControl::resume_all if the guest ran on the source and autostart is set, otherwise
/// set_stopped_state. After a failure the machine's content is undefined and it must not be run.
///
/// Thread rules: any thread; everything but wait and the destructor returns at once.
class TERN_API MigrationDestination {
 public:
  static Result<std::unique_ptr<MigrationDestination>> create(const Machine& machine,
                                                              const Settings& settings) noexcept;
  /// Stops listening or loading and joins all threads.
  virtual ~MigrationDestination() = default;

  /// Binds and waits for one migration. The descriptor of an fd: address is tern's from the call
  /// on, whatever comes of it. Errors: invalid_argument, channel (cannot bind), failed_precondition
  /// (listening already), resource_exhausted.
  virtual Result<void> listen(const Address& address) noexcept = 0;

  /// The addresses really bound (port 0 resolved), newest first; empty for fd and exec and when it
  /// is over.
  virtual std::vector<Address> listening() const noexcept = 0;

  /// Whether the guest starts by itself when it ran on the source (QEMU's -S and cont/stop in
  /// inmigrate). Default true.
  virtual void set_autostart(bool on) noexcept = 0;

  /// Takes the announce_* settings from `settings`, the rest is ignored: they are read when the
  /// guest starts here.
  virtual void update(const Settings& settings) noexcept = 0;

  /// With switchover_ack: delays the acknowledgement until release_switchover was called as often.
  /// Call it before listen.
  virtual void hold_switchover() noexcept = 0;
  virtual void release_switchover() noexcept = 0;

  /// Shuts the connection down as if the network had died: a load that is not confirmed fails.
  /// While nobody has connected it does nothing. Does not block.
  virtual void yank() noexcept = 0;

  virtual StatsSnapshot stats() const noexcept = 0;
  /// The threads that run for it at this moment.
  virtual std::vector<ThreadInfo> threads() const noexcept = 0;
  virtual void wait() noexcept = 0;
};

}  // namespace tern
