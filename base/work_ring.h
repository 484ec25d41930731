// SPDX-License-Identifier: Apache-2.0
//
// WorkRing: numbered places for pieces of work that one thread hands out and several do. What lies
// in a place belongs to the owner while it is free, to one worker from take() to done(), and to the
// owner again from there. Places come round in order, so that results are collected in the order in
// which the work was handed out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.h"

namespace tern {

class WorkRing {
 public:
  /// `places`: at least one.
  explicit WorkRing(size_t places) noexcept : done_(places, 0) {}

  // ---- the owner's thread
  /// Where the next piece goes; nullopt: every place is out.
  std::optional<size_t> free_place() const noexcept TERN_EXCLUDES(mutex_);
  /// The piece in that place is ready for a worker.
  void submit() noexcept TERN_EXCLUDES(mutex_);
  /// The place of the oldest piece that is out, if it is done; `wait`: once it is. nullopt: none.
  std::optional<size_t> oldest_done(bool wait) noexcept TERN_EXCLUDES(mutex_);
  /// The oldest piece was collected: its place is free.
  void retire() noexcept TERN_EXCLUDES(mutex_);

  // ---- workers
  /// The next piece; waits for one. nullopt: stop() was called.
  std::optional<size_t> take() noexcept TERN_EXCLUDES(mutex_);
  void done(size_t place) noexcept TERN_EXCLUDES(mutex_);

  /// No more work is taken, and nobody waits any longer. Any thread; for ever.
  void stop() noexcept TERN_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  CondVar work_;       // for workers
  CondVar collected_;  // for the owner
  // Numbers of pieces since the beginning; modulo the size they are places.
  uint64_t retired_ TERN_GUARDED_BY(mutex_) = 0;
  uint64_t taken_ TERN_GUARDED_BY(mutex_) = 0;
  uint64_t submitted_ TERN_GUARDED_BY(mutex_) = 0;
  size_t idle_ TERN_GUARDED_BY(mutex_) = 0;
  bool owner_waits_ TERN_GUARDED_BY(mutex_) = false;
  bool stopped_ TERN_GUARDED_BY(mutex_) = false;
  std::vector<uint8_t> done_ TERN_GUARDED_BY(mutex_);
};

}  // namespace tern
