// SPDX-License-Identifier: Apache-2.0
//
// The threads of a machine's vCPUs, and the protocol by which they all stop and go. Knows nothing
// of what a vCPU does.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tern/clock.h"
#include "tern/result.h"

namespace tern::vmm {

/// Threads named "vcpu-N", parked until start(). Thread rules: start, stop and the destructor from
/// one thread at a time, never from a vCPU's thread.
class Crew {
 public:
  struct Work {
    /// Runs vCPU `index` until stopping() or until the vCPU has nothing to do before the next
    /// start().
    std::function<void(uint32_t index)> run;
    /// Called once per vCPU by stop(), after stopping() became true: makes a `run` that blocks come
    /// back.
    std::function<void(uint32_t index, std::thread& thread)> kick;
    /// Called by hold(): makes a `run` that is in the guest look at held(). Empty where it looks
    /// often by itself.
    std::function<void(uint32_t index, std::thread& thread)> nudge = {};
  };

  /// Errors: resource_exhausted (threads).
  static Result<std::unique_ptr<Crew>> create(uint32_t count, Work work) noexcept;
  /// Stops and joins.
  ~Crew();

  void start() noexcept;
  /// Returns when every thread is parked.
  void stop() noexcept;
  bool stopping() const noexcept { return stopping_.load(); }
  bool parked() const noexcept;
  /// The kernel's ids of the threads, in order of the vCPUs.
  std::vector<int> thread_ids() const noexcept;

  /// Keeps vCPU `index` out of the guest for `time` from now; zero lets it go on. Any thread, at
  /// any time; stop() ends it.
  void hold(uint32_t index, Nanoseconds time) noexcept;
  /// For `run`: whether to come out of the guest and call wait_while_held.
  bool held(uint32_t index) const noexcept {
    return holds_[index]->on.load(std::memory_order_relaxed);
  }
  /// Returns when the hold is over or the machine stops.
  void wait_while_held(uint32_t index) const noexcept;

 private:
  struct Hold {
    std::atomic<bool> on = false;
    std::mutex mutex;
    std::condition_variable over;
    std::chrono::steady_clock::time_point until;  ///< guarded by mutex
  };

  explicit Crew(Work work) noexcept : work_(std::move(work)) {}
  void thread_main(uint32_t index) noexcept;

  const Work work_;
  std::vector<std::thread> threads_;
  std::vector<std::unique_ptr<Hold>> holds_;
  std::atomic<bool> stopping_ = true;
  mutable std::mutex mutex_;
  std::condition_variable go_;
  std::condition_variable idle_;
  // ---- guarded by mutex_
  uint64_t generation_ = 0;  ///< counts starts: a vCPU that has nothing to do runs once in each
  bool running_ = false;
  bool quit_ = false;
  size_t parked_ = 0;
  std::vector<int> thread_ids_;
};

}  // namespace tern::vmm
