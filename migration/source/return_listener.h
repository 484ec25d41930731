// SPDX-License-Identifier: Apache-2.0
//
// ReturnListener: what the destination said so far. Its run() is the body of thread mig/src/return;
// the main thread asks and waits. It knows the messages, not what follows from them.
#pragma once

#include <functional>
#include <optional>
#include <set>

#include "base/channel.h"
#include "base/mutex.h"
#include "migration/stream/return_path.h"
#include "tern/result.h"

namespace tern {

/// Thread rules: run() on its own thread; everything else from any thread.
class ReturnListener {
 public:
  /// Reads until SHUT, an error, or until the channel is shut down. An error shuts the channel
  /// down, so that a main thread blocked in a write wakes up.
  void run(Channel& channel) noexcept TERN_EXCLUDES(mutex_);

  /// Wakes every wait: something outside (cancel, continue) changed.
  void poke() noexcept TERN_EXCLUDES(mutex_);

  struct Said {
    std::optional<TernHello> hello;
    std::set<uint32_t> pongs;
    uint64_t messages = 0;
    bool switchover_ack = false;
    bool loaded = false;
    std::optional<uint32_t> shut;
    std::optional<Error> error;  // reading failed: no more will come
  };
  Said said() const noexcept TERN_EXCLUDES(mutex_);

  /// Waits until `done(said)`; it is asked again after every message and poke. Errors: timed_out
  /// naming the deadline.
  Result<void> wait(Deadline deadline, const std::function<bool(const Said&)>& done) noexcept
      TERN_EXCLUDES(mutex_);
  /// Sleeps up to `time`, but wakes for messages and pokes.
  void sleep(Nanoseconds time) noexcept TERN_EXCLUDES(mutex_);

 private:
  Result<void> take(const ReturnMessage& message) noexcept TERN_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  Said said_ TERN_GUARDED_BY(mutex_);
  uint64_t pokes_ TERN_GUARDED_BY(mutex_) = 0;
};

}  // namespace tern
