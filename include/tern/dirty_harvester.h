// SPDX-License-Identifier: Apache-2.0
//
// One tracker, several users. Reading what a tracker knows takes it away, so two users of one
// tracker would steal from each other: a DirtyHarvester reads it for all of them, a migration and a
// measurement at the same time, say.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tern/dirty_tracker.h"
#include "tern/log.h"
#include "tern/thread_info.h"
#include "tern/version.h"

namespace tern {

/// One user's view of a shared tracker: the functions of DirtyTracker, as if it were alone. The
/// first view that starts starts the tracker, the last that stops stops it.
/// Thread rules: those of DirtyTracker for each view; different views on different threads.
class TERN_API DirtyConsumer : public DirtyTracker {
 public:
  /// How many pages of each RAM block were found dirty since start(), whoever harvested them; a
  /// page counts once per harvest that finds it. In the order of the blocks; empty while not
  /// started. Any thread.
  virtual std::vector<uint64_t> block_dirty_pages() const noexcept = 0;

  /// `told` is called when tracking fails while this view is started, unless its own harvest
  /// reports it: on another thread, with a lock held, so it must not call any view. Tracking has
  /// ended then, no writer hangs, and every harvest returns the error. Set it before start().
  virtual void on_failure(std::function<void(const Error&)> told) noexcept = 0;
};

/// Runs the tracker's service (DirtyTracker::run_service) on a thread of its own while any view is
/// started. Thread rules: any thread; outlives its views.
class TERN_API DirtyHarvester {
 public:
  /// `tracker` and `log` outlive it, and nobody else starts or harvests `tracker`. (mark() still
  /// goes to the tracker.) `thread_prefix` is put before the service thread's name.
  static std::unique_ptr<DirtyHarvester> create(DirtyTracker& tracker, LogSink& log,
                                                std::string thread_prefix = {}) noexcept;
  virtual ~DirtyHarvester() = default;

  /// A view for one more user.
  virtual std::unique_ptr<DirtyConsumer> consumer() noexcept = 0;
  /// Of the tracker: "kvm-bitmap", "kvm-ring", ...; and whether it counts by vCPU.
  virtual std::string_view tracker_name() const noexcept = 0;
  virtual bool counts_vcpus() const noexcept = 0;
  /// The service thread, while it runs.
  virtual std::vector<ThreadInfo> threads() const noexcept = 0;
};

}  // namespace tern
