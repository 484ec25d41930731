// SPDX-License-Identifier: Apache-2.0
//
// The sending side of one migration.
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

/// One migration out of this process. Create, start, watch stats() or events, destroy.
///
/// The contract about the guest: until the destination has confirmed that it loaded and can run,
/// every failure, cancel, cut connection or crash of the peer ends with the guest doing here what
/// it did before. Where the last message may have been lost the guest stays stopped here, complete,
/// and stats().ending == Ending::unknown; resuming it is the operator's decision.
///
/// Thread rules: any thread; cancel, continue_from and stats do not block.
class TERN_API MigrationSource {
 public:
  /// Errors: invalid_argument (RAM blocks, names, missing vcpus, settings out of range).
  static Result<std::unique_ptr<MigrationSource>> create(const Machine& machine,
                                                         const Settings& settings) noexcept;
  /// Cancels what still runs and joins all threads.
  virtual ~MigrationSource() = default;

  /// Begins. Returns when the threads run; whether the connection stands is told by stats and
  /// events. The descriptor of an fd: address is tern's from the call on, whatever comes of it.
  /// Errors: invalid_argument (address that can never work, an fd: that is no good),
  /// failed_precondition (started already), resource_exhausted (no thread can be started).
  virtual Result<void> start(const Address& address) noexcept = 0;

  /// Goes on from pre-switchover. Errors: failed_precondition if the status is not `paused_at`.
  virtual Result<void> continue_from(Status paused_at) noexcept = 0;

  /// Gives up. Errors: failed_precondition when nothing runs, or when it is too late because the
  /// destination has been told to start. After success the status becomes cancelled soon, unless
  /// the destination confirmed first.
  virtual Result<void> cancel() noexcept = 0;

  /// Shuts the connection down as if the network had died, whatever waits on it: the migration
  /// fails and the guest is dealt with as after any lost link. Does nothing when nothing runs. Does
  /// not block; any thread, even while other calls hang.
  virtual void yank() noexcept = 0;

  /// Changes a live setting while running: max_bandwidth, avail_switchover_bandwidth,
  /// downtime_limit are taken from `settings`, the rest is ignored. Takes effect within 100 ms.
  virtual void update(const Settings& settings) noexcept = 0;

  virtual StatsSnapshot stats() const noexcept = 0;

  /// The threads that run for it at this moment.
  virtual std::vector<ThreadInfo> threads() const noexcept = 0;

  /// Blocks until completed, failed or cancelled, and all threads have ended their work.
  virtual void wait() noexcept = 0;
};

}  // namespace tern
