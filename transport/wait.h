// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a descriptor with a deadline and a way to be interrupted from another thread: what
// every blocking call of this room is made of. Knows nothing of sockets, pipes or streams.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/channel.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "tern/result.h"

namespace tern::transport {

using TimePoint = std::chrono::steady_clock::time_point;

/// Now + `after`; a time so far away that the addition could overflow means "never".
TimePoint time_after(Milliseconds after) noexcept;

/// The class of a failed system call: our own limits and the kernel's abilities are told from the
/// link.
ErrorCode code_of_errno(int sys_errno) noexcept;

/// A flag that any thread can raise and that a poll() notices. Stays raised for ever.
class Interrupt {
 public:
  /// Takes the descriptor of make_eventfd().
  explicit Interrupt(Fd eventfd) noexcept : eventfd_(std::move(eventfd)) {}

  /// Any thread, any time, also twice.
  void raise() noexcept;
  bool raised() const noexcept { return raised_.load(); }
  int fd() const noexcept { return eventfd_.get(); }

 private:
  Fd eventfd_;
  std::atomic<bool> raised_{false};
};

/// Errors: resource_exhausted when the process has no descriptor left.
Result<Fd> make_eventfd() noexcept;

enum class Wait { ready, timed_out, interrupted };

/// Waits until one of `fds` is ready (see its revents). An interruption wins over readiness. At
/// most 64 descriptors.
Result<Wait> wait_ready(std::span<pollfd> fds, const Interrupt& interrupt,
                        TimePoint until) noexcept;
Result<Wait> wait_ready(int fd, short events, const Interrupt& interrupt, TimePoint until) noexcept;
/// Waits for nothing but the time or the interruption.
Result<Wait> wait_until(const Interrupt& interrupt, TimePoint until) noexcept;

/// A deadline that one thread sets while another starts to wait.
class SharedDeadline {
 public:
  explicit SharedDeadline(Deadline deadline) noexcept : deadline_(deadline) {}
  void set(Deadline deadline) noexcept {
    MutexLock lock(mutex_);
    deadline_ = deadline;
  }
  Deadline get() const noexcept {
    MutexLock lock(mutex_);
    return deadline_;
  }

 private:
  mutable Mutex mutex_;
  Deadline deadline_ TERN_GUARDED_BY(mutex_);
};

/// "stall-timeout: no byte moved for 60000 ms (peer tcp:…)".
Error stall_error(const Deadline& deadline, std::string_view peer) noexcept;
/// "the channel to PEER was shut down".
Error cancelled_error(std::string_view peer) noexcept;

/// Repeats `io`, a non-blocking system call that returns a count or -1 with errno, until it moves
/// something, fails, is interrupted or its deadline passes. `what` begins the sentence of an error
/// ("read from").
template <typename Io>
Result<size_t> io_until(Io&& io, int fd, short events, const Interrupt& interrupt,
                        const SharedDeadline& shared_deadline, std::string_view what,
                        std::string_view peer) noexcept {
  // The clock starts at the first wait: while the kernel takes bytes at once no clock is read.
  bool waiting = false;
  Deadline deadline;
  TimePoint until;
  for (;;) {
    if (interrupt.raised()) return cancelled_error(peer);
    const ssize_t n = io();
    const int err = errno;
    if (n > 0) return static_cast<size_t>(n);
    if (n < 0 && err == EINTR) continue;
    // Our own shutdown() makes the kernel say "end of stream" or EPIPE; it must not look like the
    // peer's doing.
    if (interrupt.raised()) return cancelled_error(peer);
    if (n == 0) return size_t{0};
    if (err != EAGAIN && err != EWOULDBLOCK) {
      return errno_error(code_of_errno(err), std::string(what) + " " + std::string(peer), err);
    }
    if (!waiting) {
      waiting = true;
      deadline = shared_deadline.get();
      until = time_after(deadline.after);
    }
    const Wait wait = TERN_TRY(wait_ready(fd, events, interrupt, until));
    if (wait == Wait::timed_out) return stall_error(deadline, peer);
  }
}

}  // namespace tern::transport
