// SPDX-License-Identifier: Apache-2.0
//
// Session: the status of one migration on one side, the only place it changes, and the order in
// which the embedder hears of it. It knows the table, not the work.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "migration/state/transitions.h"
#include "tern/events.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern {

/// Thread rules: every function from any thread. Events are delivered one at a time, in order,
/// without the lock that guards the status, so a sink may call stats(); delivery happens on the
/// thread that posted, or on the one that is delivering at the moment.
class Session {
 public:
  /// `sink` may be nullptr. `dialect` decides which of the newer states are told.
  Session(Side side, EventSink* sink, PeerVersion dialect) noexcept;

  /// Moves the machine. Errors: failed_precondition naming the event and the state.
  Result<Status> post(Trigger trigger) noexcept TERN_EXCLUDES(mutex_);
  /// As post, but nobody hears of it before deliver() is called: for callers that hold a lock.
  Result<Status> post_silently(Trigger trigger) noexcept TERN_EXCLUDES(mutex_);
  /// Tells what waits to be told.
  void deliver() noexcept TERN_EXCLUDES(mutex_);
  /// Records the first error, then posts Trigger::error. Later errors are counted only.
  Result<Status> fail(const Error& error) noexcept TERN_EXCLUDES(mutex_);
  /// Keeps `error` as the first error without moving the machine.
  void record(const Error& error) noexcept TERN_EXCLUDES(mutex_);
  /// Tells an event in order with the status changes.
  void tell(const Event& event) noexcept TERN_EXCLUDES(mutex_);

  /// The machine's own state.
  Status status() const noexcept TERN_EXCLUDES(mutex_);
  /// What clients of the dialect see.
  Status visible_status() const noexcept TERN_EXCLUDES(mutex_);
  std::optional<Error> first_error() const noexcept TERN_EXCLUDES(mutex_);
  uint64_t later_errors() const noexcept TERN_EXCLUDES(mutex_);

  /// Blocks until the machine is in an end state (none, completed, failed, cancelled) that was
  /// reached by a post.
  void wait_ended() noexcept TERN_EXCLUDES(mutex_);
  /// Blocks while the status is `status`; returns the new one.
  Status wait_while(Status status) noexcept TERN_EXCLUDES(mutex_);

 private:
  void enqueue(const Event& event) noexcept TERN_REQUIRES(mutex_);

  const Side side_;
  EventSink* const sink_;
  const PeerVersion dialect_;
  mutable Mutex mutex_;
  CondVar changed_;
  Status status_ TERN_GUARDED_BY(mutex_) = Status::none;
  Status visible_ TERN_GUARDED_BY(mutex_) = Status::none;
  bool started_ TERN_GUARDED_BY(mutex_) = false;
  std::optional<Error> first_error_ TERN_GUARDED_BY(mutex_);
  uint64_t later_errors_ TERN_GUARDED_BY(mutex_) = 0;
  std::vector<Event> queue_ TERN_GUARDED_BY(mutex_);
  bool delivering_ TERN_GUARDED_BY(mutex_) = false;
};

/// What a client of `dialect` sees of `status`; nothing: the state before stays.
std::optional<Status> visible_in(PeerVersion dialect, Status status) noexcept;

}  // namespace tern
