// SPDX-License-Identifier: Apache-2.0
//
// What the phases of one outgoing migration share: the machine, the frozen settings, the live ones,
// and the ways to tell others what happens. No phase keeps it longer than the migration.
#pragma once

#include <atomic>
#include <string>

#include "base/error_slot.h"
#include "base/mutex.h"
#include "migration/source/return_listener.h"
#include "migration/state/session.h"
#include "stats/progress.h"
#include "tern/machine.h"
#include "tern/settings.h"

namespace tern {

/// Settings that may change while it runs. Written by any thread, read by mig/src/main; each alone
/// is enough, so relaxed order.
struct LiveSettings {
  std::atomic<uint64_t> max_bandwidth{0};
  std::atomic<uint64_t> avail_switchover_bandwidth{0};
  std::atomic<uint64_t> downtime_limit_ms{300};
  std::atomic<uint32_t> throttle_trigger_threshold{50};
  std::atomic<uint32_t> cpu_throttle_initial{20};
  std::atomic<uint32_t> cpu_throttle_increment{10};
  std::atomic<bool> cpu_throttle_tailslow{false};
  std::atomic<uint32_t> max_cpu_throttle{99};
  std::atomic<uint64_t> vcpu_dirty_limit{1};
  std::atomic<uint64_t> vcpu_dirty_limit_period{1000};
  std::atomic<uint64_t> xbzrle_cache_size{64ull << 20};
  std::atomic<bool> compress_wait_thread{true};

  void store(const Settings& s) noexcept {
    max_bandwidth.store(s.max_bandwidth, std::memory_order_relaxed);
    avail_switchover_bandwidth.store(s.avail_switchover_bandwidth, std::memory_order_relaxed);
    downtime_limit_ms.store(s.downtime_limit, std::memory_order_relaxed);
    throttle_trigger_threshold.store(s.throttle_trigger_threshold, std::memory_order_relaxed);
    cpu_throttle_initial.store(s.cpu_throttle_initial, std::memory_order_relaxed);
    cpu_throttle_increment.store(s.cpu_throttle_increment, std::memory_order_relaxed);
    cpu_throttle_tailslow.store(s.cpu_throttle_tailslow, std::memory_order_relaxed);
    max_cpu_throttle.store(s.max_cpu_throttle, std::memory_order_relaxed);
    vcpu_dirty_limit.store(s.vcpu_dirty_limit, std::memory_order_relaxed);
    vcpu_dirty_limit_period.store(s.vcpu_dirty_limit_period, std::memory_order_relaxed);
    xbzrle_cache_size.store(s.xbzrle_cache_size, std::memory_order_relaxed);
    compress_wait_thread.store(s.compress_wait_thread, std::memory_order_relaxed);
  }
};

/// The point of no return. Whoever comes first wins: a cancel before it ends the migration, a
/// commit before the cancel makes it too late.
class CommitPoint {
 public:
  /// false: a cancel was first.
  bool commit(Session& session) noexcept TERN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (session.status() == Status::cancelling) return false;
    committed_ = true;
    return true;
  }
  /// Errors: failed_precondition when it is too late or nothing runs.
  Result<void> cancel(Session& session) noexcept TERN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (committed_ && is_running(session.status())) {
        return Error(ErrorCode::failed_precondition,
                     "too late to cancel: the destination has been told to take over, its answer "
                     "is awaited");
      }
      TERN_TRY(session.post_silently(Trigger::cancel));
    }
    // Without the lock: whoever hears of it may call us.
    session.deliver();
    return {};
  }

 private:
  Mutex mutex_;
  bool committed_ TERN_GUARDED_BY(mutex_) = false;
};

struct SourceContext {
  const Machine& machine;
  const Settings& settings;
  const PeerVersion dialect;
  LiveSettings& live;
  Session& session;
  Progress& progress;
  ReturnListener& answers;
  CommitPoint& commit;
  std::atomic<bool>& continue_asked;
  const std::atomic<bool>& yanked;
  /// Of a multifd channel: the cause of what breaks then.
  ErrorSlot& channel_failure;
  Clock& clock;
  LogSink& log;

  Deadline deadline(const char* name, uint32_t ms) const noexcept {
    return {name, Milliseconds(ms)};
  }

  static Error yank_error() noexcept {
    return Error(ErrorCode::channel, "the connection was shut down by yank");
  }

  /// Whether to go on: errors are cancelled, or what the destination said went wrong.
  Result<void> check() const noexcept {
    if (session.status() == Status::cancelling) {
      return Error(ErrorCode::cancelled, "the migration was cancelled");
    }
    if (yanked.load()) return yank_error();
    if (const auto failure = channel_failure.get()) return *failure;
    const auto said = answers.said();
    if (said.shut) {
      return Error(ErrorCode::channel,
                   "the destination gave up (SHUT " + std::to_string(*said.shut) + ")");
    }
    if (said.error) return *said.error;
    return {};
  }
};

}  // namespace tern
