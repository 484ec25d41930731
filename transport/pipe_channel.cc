// SPDX-License-Identifier: Apache-2.0
//
// A Channel over plain descriptors that are not sockets.
#include "transport/pipe_channel.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <limits>

#include "transport/slices.h"

namespace tern::transport {

namespace {

// A file takes whatever it is given, and that call cannot be interrupted: smaller bites keep
// shutdown() prompt.
constexpr size_t kMaxBiteBytes = 4u << 20;

/// While it lives, a write of this thread that would raise SIGPIPE (no reader) or SIGXFSZ (file
/// size limit) raises nothing. The dispositions belong to the process of the embedder and are not
/// touched.
class QuietWrites {
 public:
  QuietWrites() noexcept {
    sigemptyset(&quiet_);
    sigaddset(&quiet_, SIGPIPE);
    sigaddset(&quiet_, SIGXFSZ);
    sigpending(&pending_before_);
    pthread_sigmask(SIG_BLOCK, &quiet_, &mask_before_);
  }
  ~QuietWrites() {
    // A signal that was already pending belongs to somebody else and stays.
    drop(SIGPIPE);
    drop(SIGXFSZ);
    pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  QuietWrites(const QuietWrites&) = delete;
  QuietWrites& operator=(const QuietWrites&) = delete;

  /// The write took less than it was given: a signal may be pending on this thread. Not only when
  /// it failed: a pipe whose reader goes away in the middle returns a count and raises SIGPIPE.
  void fell_short() noexcept { fell_short_ = true; }

 private:
  void drop(int signal) noexcept {
    if (!fell_short_ || sigismember(&pending_before_, signal) == 1) return;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    const timespec at_once{0, 0};
    while (sigtimedwait(&one, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }

  sigset_t quiet_;
  sigset_t pending_before_;
  sigset_t mask_before_;
  bool fell_short_ = false;
};

struct Bite {
  std::span<const iovec> slices;
  size_t bytes = 0;
};

/// As many slices as make one bite; the last is cut to fit.
Bite take_bite(std::span<const iovec> slices, std::array<iovec, kMaxSlices>& copy) noexcept {
  size_t bytes = 0;
  size_t count = 0;
  while (count < slices.size() && bytes < kMaxBiteBytes) {
    copy[count] = slices[count];
    copy[count].iov_len = std::min(slices[count].iov_len, kMaxBiteBytes - bytes);
    bytes += copy[count++].iov_len;
  }
  return {std::span<const iovec>(copy).first(count), bytes};
}

/// writev() without the signals.
ssize_t quiet_writev(int fd, const Bite& bite) noexcept {
  ssize_t n = 0;
  int err = 0;
  {
    QuietWrites quiet;
    n = ::writev(fd, bite.slices.data(), static_cast<int>(bite.slices.size()));
    err = errno;
    if (n < static_cast<ssize_t>(bite.bytes)) quiet.fell_short();
  }
  errno = err;
  return n;
}

}  // namespace

PipeEnd::PipeEnd(Fd fd) noexcept : fd_(std::move(fd)) {
  MutexLock lock(mutex_);
  if (!fd_) return;
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return;
  if (::fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK) == 0) old_flags_ = flags;
}

void PipeEnd::close_now() noexcept {
  if (fd_ && old_flags_ >= 0) ::fcntl(fd_.get(), F_SETFL, old_flags_);
  fd_.reset();
}

int PipeEnd::begin_use() noexcept {
  MutexLock lock(mutex_);
  ++users_;
  return close_wanted_ || !fd_ ? -1 : fd_.get();
}

void PipeEnd::end_use() noexcept {
  MutexLock lock(mutex_);
  if (--users_ == 0 && close_wanted_) close_now();
}

void PipeEnd::close() noexcept {
  MutexLock lock(mutex_);
  close_wanted_ = true;
  if (users_ == 0) close_now();
}

short PipeEnd::poll_now(short events) noexcept {
  const Use use(*this);
  if (use.fd() < 0) return 0;
  pollfd one{use.fd(), events, 0};
  while (::poll(&one, 1, 0) < 0 && errno == EINTR) {
  }
  return one.revents;
}

Result<std::unique_ptr<PipeChannel>> PipeChannel::create(Fd in, Fd out, std::string description,
                                                         uint32_t stall_timeout_ms) noexcept {
  if (!in && !out) return Error(ErrorCode::internal, "a pipe channel without a descriptor");
  Fd eventfd = TERN_TRY(make_eventfd().context(description));
  return std::unique_ptr<PipeChannel>(new PipeChannel(
      std::move(in), std::move(out), std::move(eventfd), std::move(description), stall_timeout_ms));
}

PipeChannel::PipeChannel(Fd in, Fd out, Fd eventfd, std::string description,
                         uint32_t stall_timeout_ms) noexcept
    : can_read_(static_cast<bool>(in)),
      can_write_(static_cast<bool>(out)),
      description_(std::move(description)),
      in_(std::move(in)),
      out_(std::move(out)),
      interrupt_(std::move(eventfd)),
      read_deadline_({"stall-timeout", Milliseconds(stall_timeout_ms)}),
      write_deadline_({"stall-timeout", Milliseconds(stall_timeout_ms)}) {}

Result<size_t> PipeChannel::read_some(std::span<std::byte> into) noexcept {
  if (!can_read_) {
    return Error(ErrorCode::failed_precondition, description_ + " can only be written");
  }
  if (into.empty()) return Error(ErrorCode::invalid_argument, "read_some into no space");
  const PipeEnd::Use use(in_);
  if (use.fd() < 0) return cancelled_error(description_);
  const std::span<std::byte> some = into.first(std::min(into.size(), kMaxBiteBytes));
  return io_until([&] { return ::read(use.fd(), some.data(), some.size()); }, use.fd(), POLLIN,
                  interrupt_, read_deadline_, "read from", description_);
}

Result<size_t> PipeChannel::write_some(std::span<const iovec> slices) noexcept {
  if (!can_write_) {
    return Error(ErrorCode::failed_precondition, description_ + " can only be read");
  }
  const std::span<const iovec> all = writable_slices(slices);
  if (all.empty()) return Error(ErrorCode::invalid_argument, "write_some of no bytes");
  const PipeEnd::Use use(out_);
  if (use.fd() < 0) {
    if (interrupt_.raised()) return cancelled_error(description_);
    return Error(ErrorCode::failed_precondition, "write to " + description_ + " after its end");
  }
  std::array<iovec, kMaxSlices> copy;
  const Bite bite = take_bite(all, copy);
  const size_t n =
      TERN_TRY(io_until([&] { return quiet_writev(use.fd(), bite); }, use.fd(), POLLOUT, interrupt_,
                        write_deadline_, "write to", description_));
  // No pipe or file does this; some device might, and the caller would offer the same bytes for
  // ever.
  if (n == 0) return Error(ErrorCode::channel, "write to " + description_ + ": nothing was taken");
  return n;
}

void PipeChannel::shutdown() noexcept {
  interrupt_.raise();
  in_.close();
  out_.close();
}

bool PipeChannel::drain(std::span<std::byte> waste, int also, Milliseconds at_most) noexcept {
  const PipeEnd::Use use(in_);
  if (use.fd() < 0) return false;
  std::array<pollfd, 2> both{{{use.fd(), POLLIN, 0}, {also, POLLIN, 0}}};
  const auto limit = std::min<int64_t>(at_most.count(), std::numeric_limits<int>::max());
  if (::poll(both.data(), both.size(), static_cast<int>(limit)) < 0) return errno == EINTR;
  if (both[0].revents == 0) return true;
  const ssize_t n = ::read(use.fd(), waste.data(), waste.size());
  return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

bool PipeChannel::peer_closed() noexcept { return can_write_ ? reader_gone() : writer_gone(); }

}  // namespace tern::transport
