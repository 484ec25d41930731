// SPDX-License-Identifier: Apache-2.0
//
// Announcer: the rounds of one series of announcements, on a thread of its own because nobody else
// is awake while the guest runs. It knows when; what is sent is the VMM's.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/thread_list.h"
#include "tern/announce.h"
#include "tern/clock.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern {

/// The settings of a migration's announcement.
AnnounceParameters announce_parameters(const Settings& settings) noexcept;
/// How long to wait after announcement `round` (0 is the first).
Milliseconds announce_delay(const AnnounceParameters& parameters, uint64_t round) noexcept;

/// Thread rules: start and stop from one thread at a time.
class Announcer {
 public:
  Announcer(SelfAnnouncer& vmm, std::string thread_prefix, ThreadList& threads) noexcept
      : vmm_(vmm), thread_prefix_(std::move(thread_prefix)), threads_(threads) {}
  ~Announcer() { stop(); }
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  /// Begins a series; one that runs ends. Named interfaces only, or all if there is none. Errors:
  /// resource_exhausted.
  Result<void> start(const AnnounceParameters& parameters,
                     std::vector<std::string> interfaces) noexcept;
  /// Whether no series runs. Any thread.
  bool idle() const noexcept { return idle_.load(); }
  /// Ends the series now; waits for a call into the VMM that is going on.
  void stop() noexcept TERN_EXCLUDES(mutex_);

 private:
  void run(const AnnounceParameters& parameters,
           const std::vector<std::string>& interfaces) noexcept TERN_EXCLUDES(mutex_);
  bool pause(Milliseconds time) noexcept TERN_EXCLUDES(mutex_);

  SelfAnnouncer& vmm_;
  const std::string thread_prefix_;
  ThreadList& threads_;
  std::atomic<bool> idle_{true};
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ TERN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tern
