// SPDX-License-Identifier: Apache-2.0
//
// A source's way from an address to a channel.
#include "transport/connect.h"

#include <sys/socket.h>
#include <sys/time.h>
// After sys/socket.h: it uses its types.
#include <linux/vm_sockets.h>

#include <algorithm>
#include <vector>

#include "transport/address.h"
#include "transport/exec_channel.h"
#include "transport/fd_channel.h"
#include "transport/sockaddr.h"
#include "transport/socket_channel.h"
#include "transport/wait.h"

namespace tern::transport {

namespace {

/// One attempt at one address.
struct Dial {
  const SockAddr& address;
  const std::string& shown;  // "127.0.0.1:4444"
  const Deadline& deadline;
  TimePoint until;
  const Interrupt& interrupt;

  Result<Fd> run() const noexcept;

 private:
  Result<Fd> open() const noexcept;
  Result<void> wait_connected(int fd) const noexcept;
  Result<void> wait_backlog(Milliseconds pause) const noexcept;
  Error failed(int sys_errno) const noexcept {
    return errno_error(code_of_errno(sys_errno), "Failed to connect to '" + shown + "'", sys_errno);
  }
  Result<void> check(Wait wait) const noexcept;
};

Result<void> Dial::check(Wait wait) const noexcept {
  if (wait == Wait::interrupted) {
    return Error(ErrorCode::cancelled, "connecting to '" + shown + "' was aborted");
  }
  if (wait == Wait::timed_out) {
    return Error(ErrorCode::timed_out, std::string(deadline.name) + ": no connection to '" + shown +
                                           "' within " + std::to_string(deadline.after.count()) +
                                           " ms");
  }
  return {};
}

Result<Fd> Dial::open() const noexcept {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed(errno);
  if (address.family() == AF_VSOCK) {
    // Its own limit of 2 s would end the attempt under the name of nobody's setting. A second more
    // than ours.
    const auto left =
        std::chrono::duration_cast<std::chrono::seconds>(std::min<std::chrono::nanoseconds>(
            until - std::chrono::steady_clock::now(), std::chrono::hours(24)));
    timeval limit{std::max<time_t>(left.count(), 0) + 1, 0};
    (void)::setsockopt(fd.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
  }
  return fd;
}

Result<void> Dial::wait_connected(int fd) const noexcept {
  const Wait wait = TERN_TRY(wait_ready(fd, POLLOUT, interrupt, until));
  TERN_TRY(check(wait));
  int err = 0;
  socklen_t length = sizeof err;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length) != 0) err = errno;
  if (err != 0) return failed(err);
  return {};
}

/// A unix socket whose listener has no room says EAGAIN, and there is nothing to poll for its
/// having room again.
Result<void> Dial::wait_backlog(Milliseconds pause) const noexcept {
  const TimePoint next = std::min(time_after(pause), until);
  const Wait wait = TERN_TRY(wait_until(interrupt, next));
  if (wait == Wait::timed_out && next < until) return {};
  return check(wait);
}

Result<Fd> Dial::run() const noexcept {
  Fd fd = TERN_TRY(open());
  Milliseconds pause{1};
  for (;;) {
    if (interrupt.raised()) TERN_TRY(check(Wait::interrupted));
    if (::connect(fd.get(), address.get(), address.length()) == 0) break;
    const int err = errno;
    if (err == EAGAIN && address.family() == AF_UNIX) {
      TERN_TRY(wait_backlog(pause));
      pause = std::min(pause * 2, Milliseconds{100});
      continue;
    }
    // EINTR: the attempt goes on by itself, as after EINPROGRESS.
    if (err != EINPROGRESS && err != EINTR) return failed(err);
    TERN_TRY(wait_connected(fd.get()));
    break;
  }
  // A port of the ephemeral range at which nobody listens can be given to our own end of this very
  // connection.
  const bool inet = address.family() == AF_INET || address.family() == AF_INET6;
  if (inet && SockAddr::local_of(fd.get()) == SockAddr::peer_of(fd.get())) {
    return failed(ECONNREFUSED);
  }
  return fd;
}

/// Tries all of them in order; each gets an equal share of what is left of the time, so that one
/// that swallows packets does not use up the chance of the next.
Result<Fd> dial_any(const std::vector<SockAddr>& addresses, const std::string& shown,
                    const Deadline& deadline, TimePoint until,
                    const Interrupt& interrupt) noexcept {
  Result<Fd> last = Error(ErrorCode::internal, "no address to connect to");
  for (size_t i = 0; i < addresses.size(); ++i) {
    const TimePoint now = std::chrono::steady_clock::now();
    const auto others = static_cast<int64_t>(addresses.size() - i - 1);
    const bool shared = others > 0 && until != TimePoint::max();
    const TimePoint share = shared ? now + (until - now) / (others + 1) : until;
    last = Dial{addresses[i], shown, deadline, share, interrupt}.run();
    if (last || last.error().code() == ErrorCode::cancelled) return last;
  }
  return last;
}

class SchemeConnector : public Connector {
 public:
  SchemeConnector(const Address& address, Fd eventfd) noexcept
      : uri_(to_uri(address)), interrupt_(std::move(eventfd)) {}
  void abort() noexcept override { interrupt_.raise(); }
  std::string describe() const noexcept override { return uri_; }

 protected:
  Result<void> check_aborted() const noexcept {
    if (!interrupt_.raised()) return {};
    return Error(ErrorCode::cancelled, "connecting to " + quoted(uri_) + " was aborted");
  }
  const std::string uri_;
  Interrupt interrupt_;
};

class InetConnector final : public SchemeConnector {
 public:
  InetConnector(InetAddress inet, const SocketOptions& options, Fd eventfd) noexcept
      : SchemeConnector(Address(inet), std::move(eventfd)),
        inet_(std::move(inet)),
        options_(options) {}

  Result<std::unique_ptr<Channel>> connect(Deadline deadline) noexcept override {
    TERN_TRY(check_aborted());
    const TimePoint until = time_after(deadline.after);
    const std::vector<SockAddr> addresses = TERN_TRY(resolve(inet_, Purpose::connect));
    Fd fd =
        TERN_TRY(dial_any(addresses, inet_.host + ":" + inet_.port, deadline, until, interrupt_));
    InetAddress peer{inet_.host, inet_.port};
    const Address numeric = SockAddr::peer_of(fd.get()).to_address();
    if (const auto* known = std::get_if<InetAddress>(&numeric)) {
      peer.host = known->host;
      peer.port = known->port;
    }
    return TERN_TRY(SocketChannel::create(std::move(fd), to_uri(peer), options_));
  }

 private:
  const InetAddress inet_;
  const SocketOptions options_;
};

/// Schemes whose address is one sockaddr that needs no resolution.
class DirectConnector final : public SchemeConnector {
 public:
  DirectConnector(const Address& address, const SockAddr& sockaddr, std::string shown,
                  const SocketOptions& options, Fd eventfd) noexcept
      : SchemeConnector(address, std::move(eventfd)),
        sockaddr_(sockaddr),
        shown_(std::move(shown)),
        options_(options) {}

  Result<std::unique_ptr<Channel>> connect(Deadline deadline) noexcept override {
    TERN_TRY(check_aborted());
    const TimePoint until = time_after(deadline.after);
    Fd fd = TERN_TRY(dial_any({sockaddr_}, shown_, deadline, until, interrupt_));
    return TERN_TRY(SocketChannel::create(std::move(fd), uri_, options_));
  }

 private:
  const SockAddr sockaddr_;
  const std::string shown_;
  const SocketOptions options_;
};

class FdConnector final : public SchemeConnector {
 public:
  /// `channel` is open from the beginning: who drops the connector closes it.
  FdConnector(FdAddress fd, std::unique_ptr<Channel> channel, Fd eventfd) noexcept
      : SchemeConnector(Address(std::move(fd)), std::move(eventfd)), channel_(std::move(channel)) {}

  Result<std::unique_ptr<Channel>> connect(Deadline) noexcept override {
    TERN_TRY(check_aborted());
    if (!channel_)
      return Error(ErrorCode::failed_precondition, uri_ + " gives one connection only");
    return std::move(channel_);
  }
  bool connects_many() const noexcept override { return false; }

 private:
  std::unique_ptr<Channel> channel_;
};

class ExecConnector final : public SchemeConnector {
 public:
  ExecConnector(ExecAddress exec, const ExecOptions& options, Fd eventfd) noexcept
      : SchemeConnector(Address(exec), std::move(eventfd)),
        exec_(std::move(exec)),
        options_(options) {}

  Result<std::unique_ptr<Channel>> connect(Deadline) noexcept override {
    TERN_TRY(check_aborted());
    return TERN_TRY(ExecChannel::spawn(exec_.args, Direction::outgoing, options_));
  }
  bool connects_many() const noexcept override { return false; }

 private:
  const ExecAddress exec_;
  const ExecOptions options_;
};

struct Maker {
  const ConnectOptions& options;
  std::unique_ptr<Channel> fd_channel;  // of fd:
  Fd eventfd;

  using Made = Result<std::unique_ptr<Connector>>;

  SocketOptions socket_options(bool keep_alive) const noexcept {
    return {options.stall_timeout_ms, keep_alive};
  }
  Made operator()(const InetAddress& inet) noexcept {
    // Probing is on unless the address says otherwise: a peer that vanished while the link is idle.
    const SocketOptions socket = socket_options(inet.keep_alive.value_or(true));
    return std::make_unique<InetConnector>(inet, socket, std::move(eventfd));
  }
  Made operator()(const UnixAddress& unix_address) noexcept {
    const SockAddr to = TERN_TRY(make_sockaddr(unix_address));
    return std::make_unique<DirectConnector>(Address(unix_address), to, unix_address.path,
                                             socket_options(true), std::move(eventfd));
  }
  Made operator()(const VsockAddress& vsock) noexcept {
    const SockAddr to = TERN_TRY(make_sockaddr(vsock));
    return std::make_unique<DirectConnector>(Address(vsock), to, vsock.cid + ":" + vsock.port,
                                             socket_options(true), std::move(eventfd));
  }
  Made operator()(const FdAddress& fd) noexcept {
    return std::make_unique<FdConnector>(fd, std::move(fd_channel), std::move(eventfd));
  }
  Made operator()(const ExecAddress& exec) noexcept {
    ExecOptions exec_options;
    exec_options.stall_timeout_ms = options.stall_timeout_ms;
    return std::make_unique<ExecConnector>(exec, exec_options, std::move(eventfd));
  }
};

}  // namespace

Result<std::unique_ptr<Connector>> make_connector(const Address& address,
                                                  const ConnectOptions& options) noexcept {
  TERN_TRY(validate(address));
  // First, so that a descriptor is taken whatever fails after it.
  std::unique_ptr<Channel> fd_channel;
  if (const auto* fd = std::get_if<FdAddress>(&address)) {
    fd_channel =
        TERN_TRY(open_fd_channel(*fd, Direction::outgoing, {options.stall_timeout_ms, true}));
  }
  Maker maker{options, std::move(fd_channel), TERN_TRY(make_eventfd())};
  return std::visit(maker, address);
}

}  // namespace tern::transport
