// SPDX-License-Identifier: Apache-2.0
//
// Harvester: reads one tracker for all its consumers and runs its service. Knows nothing of what
// they want the pages for.
//
//   mig/dirty   DirtyTracker::run_service, only for trackers that need it
//
// Each harvest goes into the map of whoever asked and into what the other started consumers have
// not fetched yet. A consumer that starts while others are started first harvests for them, so that
// what was written before its start is theirs and not its own.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/thread_list.h"
#include "tern/dirty_bitmap.h"
#include "tern/dirty_harvester.h"

namespace tern {

class Harvester final : public DirtyHarvester {
 public:
  Harvester(DirtyTracker& tracker, LogSink& log, std::string thread_prefix) noexcept;
  ~Harvester() override;
  Harvester(const Harvester&) = delete;
  Harvester& operator=(const Harvester&) = delete;

  std::unique_ptr<DirtyConsumer> consumer() noexcept override;
  std::string_view tracker_name() const noexcept override { return tracker_.name(); }
  bool counts_vcpus() const noexcept override { return tracker_.counts_vcpus(); }
  std::vector<ThreadInfo> threads() const noexcept override { return threads_.list(); }

 private:
  /// What one consumer has not fetched yet, and what was counted for it.
  struct Share {
    std::function<void(const Error&)> told;  // set before start
    bool started = false;                    // with mutex_ of the harvester
    DirtyBitmap pending;                     // with mutex_; empty until something is in it
    mutable Mutex counts_mutex;  // after mutex_: counts are read while a harvest takes its time
    std::vector<uint64_t> block_pages TERN_GUARDED_BY(counts_mutex);
    std::vector<uint64_t> vcpu_base TERN_GUARDED_BY(counts_mutex);
    bool counting TERN_GUARDED_BY(counts_mutex) = false;
  };
  class View;

  Result<void> start(Share& share, std::span<const RamBlock> blocks) noexcept TERN_EXCLUDES(mutex_);
  Result<uint64_t> harvest(Share& share, DirtyBitmap& into) noexcept TERN_EXCLUDES(mutex_);
  Result<void> stop(Share& share) noexcept TERN_EXCLUDES(mutex_);
  std::vector<uint64_t> vcpu_pages(const Share& share) const noexcept;

  /// Sets ending_ if the tracker did not start.
  Result<void> begin(Share& share, std::span<const RamBlock> blocks) noexcept TERN_REQUIRES(mutex_);
  Result<void> start_tracker(std::span<const RamBlock> blocks) noexcept TERN_REQUIRES(mutex_);
  Result<void> check_same(std::span<const RamBlock> blocks) const noexcept TERN_REQUIRES(mutex_);
  Result<void> gather(const Share* taker) noexcept TERN_REQUIRES(mutex_);
  void begin_counting(Share& share) noexcept TERN_REQUIRES(mutex_);
  void fail(const Error& error, const Share* knows) noexcept TERN_REQUIRES(mutex_);
  void serve(const std::stop_token& stop) noexcept TERN_EXCLUDES(mutex_);
  void end_service() noexcept TERN_EXCLUDES(mutex_);

  DirtyTracker& tracker_;
  LogSink& log_;
  const std::string thread_prefix_;
  ThreadList threads_;

  Mutex mutex_;
  CondVar settled_;
  /// Somebody waits for the service to end, without the lock; service_ is his.
  bool ending_ TERN_GUARDED_BY(mutex_) = false;
  std::vector<Share*> started_ TERN_GUARDED_BY(mutex_);
  std::vector<RamBlock> blocks_ TERN_GUARDED_BY(mutex_);
  DirtyBitmap fresh_ TERN_GUARDED_BY(mutex_);  ///< what one harvest found
  std::optional<Error> failure_ TERN_GUARDED_BY(mutex_);
  std::jthread service_;
};

}  // namespace tern
