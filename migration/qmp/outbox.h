// SPDX-License-Identifier: Apache-2.0
//
// What waits to be written to one client. Replies and events share it, in order. Writing never
// blocks; what a client does not read stays here up to a limit, and then the client counts as stuck
// and is given up: a migration never waits for a monitor.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "base/fd.h"
#include "base/mutex.h"

namespace tern::qmp {

/// Thread rules: any thread; no call blocks. A leaf in the lock order: calls nothing of ours.
class Outbox {
 public:
  /// Unread events beyond this many bytes give the client up.
  static constexpr size_t kMaxEventBytes = 1u << 20;
  /// A client with this many bytes unread gets no further request executed until it reads.
  static constexpr size_t kHighWaterBytes = 1u << 20;

  /// `socket` is a connected stream socket; stays open until close().
  explicit Outbox(Fd socket) noexcept : socket_(std::move(socket)) {}

  /// One line of reply (ends with CR LF). Never dropped.
  void push_reply(std::string line) noexcept TERN_EXCLUDES(mutex_);
  /// One line of event. Returns true if bytes are left that only a later flush() can write, or the
  /// client was just given up: the loop that owns the client must be woken.
  bool push_event(std::string line) noexcept TERN_EXCLUDES(mutex_);
  /// Writes what the socket takes.
  void flush() noexcept TERN_EXCLUDES(mutex_);

  size_t pending_bytes() noexcept TERN_EXCLUDES(mutex_);
  /// The client does not read its events, or the socket is broken.
  bool given_up() noexcept TERN_EXCLUDES(mutex_);
  /// Too many unread events, not a broken socket.
  bool overflowed() noexcept TERN_EXCLUDES(mutex_);
  void close() noexcept TERN_EXCLUDES(mutex_);

 private:
  struct Line {
    std::string text;
    bool event;
  };
  void push(Line line) noexcept TERN_REQUIRES(mutex_);
  void flush_locked() noexcept TERN_REQUIRES(mutex_);
  void give_up() noexcept TERN_REQUIRES(mutex_);

  Mutex mutex_;
  Fd socket_ TERN_GUARDED_BY(mutex_);
  std::deque<Line> lines_ TERN_GUARDED_BY(mutex_);
  size_t front_sent_ TERN_GUARDED_BY(mutex_) = 0;  // bytes of lines_.front() already written
  size_t pending_ TERN_GUARDED_BY(mutex_) = 0;
  size_t pending_events_ TERN_GUARDED_BY(mutex_) = 0;
  bool given_up_ TERN_GUARDED_BY(mutex_) = false;
  bool overflowed_ TERN_GUARDED_BY(mutex_) = false;
};

}  // namespace tern::qmp
