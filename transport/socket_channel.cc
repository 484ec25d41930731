// SPDX-License-Identifier: Apache-2.0
//
// A Channel over one connected stream socket.
#include "transport/socket_channel.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "transport/slices.h"

namespace tern::transport {

namespace {

// The kernel's limits of TCP_KEEPIDLE, TCP_KEEPINTVL (seconds) and TCP_KEEPCNT.
constexpr uint32_t kMaxKeepSeconds = 32767;
constexpr uint32_t kMaxKeepCount = 127;
// Settings allow no deadline above a day; a longer one here means "no limit" and says nothing about
// the peer.
constexpr Milliseconds kMaxUserTimeout = std::chrono::hours(24);

void set_option(int fd, int level, int name, int value) noexcept {
  // A tuning option that the kernel refuses costs detection speed, not correctness: the deadlines
  // of the channel still hold.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

bool is_tcp(int fd) noexcept {
  int protocol = 0;
  socklen_t length = sizeof protocol;
  return ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
         protocol == IPPROTO_TCP;
}

}  // namespace

KeepaliveTimes keepalive_times(uint32_t stall_timeout_ms) noexcept {
  const uint32_t stall_s = std::max(1u, stall_timeout_ms / 1000 + (stall_timeout_ms % 1000 != 0));
  const uint32_t idle_s = std::clamp(stall_s / 2, 1u, kMaxKeepSeconds);
  const uint32_t interval_s = std::clamp(stall_s / 8, 1u, kMaxKeepSeconds);
  const uint32_t rest_s = stall_s > idle_s ? stall_s - idle_s : 1;
  const uint32_t count = std::clamp((rest_s + interval_s - 1) / interval_s, 1u, kMaxKeepCount);
  return {static_cast<int>(idle_s), static_cast<int>(interval_s), static_cast<int>(count),
          std::min(stall_timeout_ms, static_cast<uint32_t>(kMaxUserTimeout.count()))};
}

Result<std::unique_ptr<SocketChannel>> SocketChannel::create(
    Fd socket, std::string description, const SocketOptions& options) noexcept {
  Fd eventfd = TERN_TRY(make_eventfd().context(description));
  return create_with(std::move(socket), std::move(eventfd), std::move(description), options);
}

std::unique_ptr<SocketChannel> SocketChannel::create_with(Fd socket, Fd eventfd,
                                                          std::string description,
                                                          const SocketOptions& options) noexcept {
  std::unique_ptr<SocketChannel> channel(
      new SocketChannel(std::move(socket), std::move(eventfd), std::move(description), options));
  channel->tune_tcp(options);
  return channel;
}

SocketChannel::SocketChannel(Fd socket, Fd eventfd, std::string description,
                             const SocketOptions& options) noexcept
    : socket_(std::move(socket)),
      description_(std::move(description)),
      stall_timeout_ms_(options.stall_timeout_ms),
      interrupt_(std::move(eventfd)),
      read_deadline_({"stall-timeout", Milliseconds(options.stall_timeout_ms)}),
      write_deadline_({"stall-timeout", Milliseconds(options.stall_timeout_ms)}) {}

void SocketChannel::tune_tcp(const SocketOptions& options) noexcept {
  const int fd = socket_.get();
  tcp_ = is_tcp(fd);
  if (!tcp_) return;
  const KeepaliveTimes times = keepalive_times(options.stall_timeout_ms);
  // Headers and requests are small and waited for; gathering is done above, in StreamWriter.
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // Two detections, as neither covers the other: user timeout for bytes that nobody acknowledges,
  // keepalive for a connection on which nothing is under way.
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(times.user_timeout_ms));
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, times.idle_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, times.interval_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, times.count);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, options.keep_alive ? 1 : 0);
}

Result<size_t> SocketChannel::read_some(std::span<std::byte> into) noexcept {
  if (into.empty()) return Error(ErrorCode::invalid_argument, "read_some into no space");
  const int fd = socket_.get();
  return io_until([&] { return ::recv(fd, into.data(), into.size(), MSG_DONTWAIT); }, fd, POLLIN,
                  interrupt_, read_deadline_, "read from", description_);
}

Result<size_t> SocketChannel::read_into(std::span<const iovec> pieces) noexcept {
  const std::span<const iovec> some = writable_slices(pieces);
  if (some.empty()) return Error(ErrorCode::invalid_argument, "read_into no space");
  const int fd = socket_.get();
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(some.data());  // recvmsg writes to what it points to only
  message.msg_iovlen = some.size();
  return io_until([&] { return ::recvmsg(fd, &message, MSG_DONTWAIT); }, fd, POLLIN, interrupt_,
                  read_deadline_, "read from", description_);
}

Result<size_t> SocketChannel::write_some(std::span<const iovec> slices) noexcept {
  return send(slices, false);
}

Result<size_t> SocketChannel::write_zero_copy(std::span<const iovec> slices) noexcept {
  return send(slices, true);
}

Result<size_t> SocketChannel::send(std::span<const iovec> slices, bool zero_copy) noexcept {
  const std::span<const iovec> some = writable_slices(slices);
  if (some.empty()) return Error(ErrorCode::invalid_argument, "write_some of no bytes");
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(some.data());  // sendmsg does not write to it
  message.msg_iovlen = some.size();
  const int fd = socket_.get();
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (zero_copy ? MSG_ZEROCOPY : 0);
  auto sent = io_until(
      [&] {
        // Word of finished writes counts as an error of the socket for poll: left there, it would
        // make every wait end at once.
        if (zero_copy_.pending() != 0) zero_copy_.reap(fd);
        return ::sendmsg(fd, &message, flags);
      },
      fd, POLLOUT, interrupt_, write_deadline_, "write to", description_);
  if (!zero_copy) return sent;
  if (sent) {
    zero_copy_.note_sent();
  } else if (sent.error().sys_errno() == ENOBUFS) {
    // The pages under way are locked. When those are out there is room again.
    if (zero_copy_.pending() != 0 && flush_pending()) return send(slices, true);
    return Error(ErrorCode::resource_exhausted,
                 "Process can't lock enough memory for using MSG_ZEROCOPY: raise the limit of "
                 "locked memory (ulimit -l) or switch zero-copy-send off");
  }
  return sent;
}

Result<void> SocketChannel::enable_zero_copy() noexcept {
  const int on = 1;
  if (tcp_ && ::setsockopt(socket_.get(), SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) == 0) return {};
  return Error(ErrorCode::unsupported,
               "zero-copy-send needs TCP and a kernel with SO_ZEROCOPY, not " + description_);
}

Result<void> SocketChannel::flush_pending() noexcept {
  const int fd = socket_.get();
  const auto waited = io_until(
      [&] {
        zero_copy_.reap(fd);
        if (zero_copy_.pending() == 0) return ssize_t{1};
        errno = EAGAIN;
        return ssize_t{-1};
      },
      fd, 0, interrupt_, write_deadline_, "zero-copy write to", description_);
  return waited ? Result<void>() : Result<void>(waited.error());
}

Result<Channel::ZeroCopyFlush> SocketChannel::flush_zero_copy() noexcept {
  TERN_TRY(flush_pending());
  return zero_copy_.take_report();
}

void SocketChannel::set_write_deadline(Deadline deadline) noexcept {
  write_deadline_.set(deadline);
  if (!tcp_) return;
  // A receiver that is busy loading closes its window; the kernel counts that, too, as time without
  // progress.
  Milliseconds user_timeout(stall_timeout_ms_);
  if (deadline.after <= kMaxUserTimeout) user_timeout = std::max(user_timeout, deadline.after);
  set_option(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT,
             static_cast<int>(std::min(user_timeout, kMaxUserTimeout).count()));
}

void SocketChannel::shutdown() noexcept {
  // After shutdown(2) poll would call our own act the peer's: what the peer did is noted before it.
  // Under the lock, so that a second caller does not note it again afterwards.
  MutexLock lock(shutdown_mutex_);
  if (interrupt_.raised()) return;
  peer_was_closed_.store(poll_peer_closed());
  interrupt_.raise();
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void SocketChannel::finish_writing() noexcept {
  if (!interrupt_.raised()) ::shutdown(socket_.get(), SHUT_WR);
}

uint64_t SocketChannel::queued() const noexcept {
  int bytes = 0;
  return ::ioctl(socket_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<uint64_t>(bytes)
                                                                    : 0;
}

bool SocketChannel::peer_closed() noexcept {
  const bool closed = poll_peer_closed();
  // Partner of shutdown(): who sees the effect of its shutdown(2) also sees the flag raised before
  // it.
  return interrupt_.raised() ? peer_was_closed_.load() : closed;
}

bool SocketChannel::poll_peer_closed() const noexcept {
  pollfd one{socket_.get(), POLLRDHUP, 0};
  while (::poll(&one, 1, 0) < 0 && errno == EINTR) {
  }
  return (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace tern::transport
