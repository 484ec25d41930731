// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a descriptor with a deadline and a way to be interrupted from another thread.
#include "transport/wait.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace tern::transport {

namespace {

constexpr size_t kMaxWaitFds = 64;
constexpr Milliseconds kNever = std::chrono::hours(24 * 3650);

/// poll()'s argument: rounded up, because waking early would only poll again.
int poll_timeout(TimePoint until) noexcept {
  if (until == TimePoint::max()) return -1;
  const auto left =
      std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, std::numeric_limits<int>::max()));
}

}  // namespace

TimePoint time_after(Milliseconds after) noexcept {
  if (after >= kNever) return TimePoint::max();
  return std::chrono::steady_clock::now() + std::max(after, Milliseconds{0});
}

ErrorCode code_of_errno(int sys_errno) noexcept {
  switch (sys_errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return ErrorCode::resource_exhausted;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT:
    case ENOSYS:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::channel;
  }
}

void Interrupt::raise() noexcept {
  if (raised_.exchange(true)) return;
  const uint64_t one = 1;
  // Cannot fail: the counter goes from 0 to 1 and the descriptor is ours; EINTR is not given to
  // eventfd writes that do not block.
  [[maybe_unused]] const ssize_t written = ::write(eventfd_.get(), &one, sizeof one);
}

Result<Fd> make_eventfd() noexcept {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return errno_error(code_of_errno(errno), "cannot create an eventfd", errno);
  return fd;
}

Result<Wait> wait_ready(std::span<pollfd> fds, const Interrupt& interrupt,
                        TimePoint until) noexcept {
  std::array<pollfd, kMaxWaitFds + 1> set;
  if (fds.size() > kMaxWaitFds) {
    return Error(ErrorCode::internal, "more than 64 descriptors to wait for");
  }
  set[0] = {interrupt.fd(), POLLIN, 0};
  std::copy(fds.begin(), fds.end(), set.begin() + 1);
  for (;;) {
    const int n = ::poll(set.data(), fds.size() + 1, poll_timeout(until));
    if (n < 0 && errno != EINTR) return errno_error(code_of_errno(errno), "poll", errno);
    if (interrupt.raised()) return Wait::interrupted;
    if (n > 0) {
      std::copy_n(set.begin() + 1, fds.size(), fds.begin());
      return Wait::ready;
    }
    // Signals restart the wait with what is left of it, so that a storm of them neither prolongs
    // nor ends it.
    if (std::chrono::steady_clock::now() >= until) return Wait::timed_out;
  }
}

Result<Wait> wait_ready(int fd, short events, const Interrupt& interrupt,
                        TimePoint until) noexcept {
  pollfd one{fd, events, 0};
  return wait_ready(std::span<pollfd>(&one, 1), interrupt, until);
}

Result<Wait> wait_until(const Interrupt& interrupt, TimePoint until) noexcept {
  return wait_ready(std::span<pollfd>(), interrupt, until);
}

Error stall_error(const Deadline& deadline, std::string_view peer) noexcept {
  return Error(ErrorCode::timed_out, std::string(deadline.name) + ": no byte moved for " +
                                         std::to_string(deadline.after.count()) + " ms (peer " +
                                         std::string(peer) + ")");
}

Error cancelled_error(std::string_view peer) noexcept {
  return Error(ErrorCode::cancelled, "the channel to " + std::string(peer) + " was shut down");
}

}  // namespace tern::transport
