// SPDX-License-Identifier: Apache-2.0
//
// A destination's way from an address to the channels that come in.
#include "transport/listen.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "transport/address.h"
#include "transport/exec_channel.h"
#include "transport/fd_channel.h"
#include "transport/sockaddr.h"
#include "transport/socket_channel.h"
#include "transport/wait.h"

namespace tern::transport {

namespace {

/// Room for all channels of a migration to arrive at once: a full queue makes a unix connect fail.
constexpr int kBacklog = 255 + 2;

Result<Fd> bind_one(const SockAddr& address, bool v6only, const std::string& shown) noexcept {
  const auto failed = [&](int err) {
    return errno_error(code_of_errno(err), "Failed to bind socket to '" + shown + "'", err);
  };
  // Non-blocking: who connected may be gone between poll and accept.
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed(errno);
  const int on = 1;
  const int only = v6only ? 1 : 0;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6 &&
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) != 0) {
    return failed(errno);
  }
  if (::bind(fd.get(), address.get(), address.length()) != 0) return failed(errno);
  // With SO_REUSEADDR two can bind a port; the second listen() finds out.
  if (::listen(fd.get(), kBacklog) != 0) return failed(errno);
  return fd;
}

struct InetPlan {
  std::vector<SockAddr> addresses;
  std::string host;
  bool v6only = false;
};

/// One socket per address, or none: a port that is free on one family only is not free.
Result<std::vector<Fd>> bind_all(InetPlan& plan, uint16_t port) noexcept {
  std::vector<Fd> sockets;
  std::optional<Error> missing;
  for (SockAddr& address : plan.addresses) {
    address.set_port(port);
    Result<Fd> fd = bind_one(address, plan.v6only, plan.host + ":" + std::to_string(port));
    if (fd) {
      sockets.push_back(std::move(fd).value());
      continue;
    }
    // "All addresses" on a kernel without one of the families means the other.
    const int err = fd.error().sys_errno();
    if (!plan.host.empty() || (err != EAFNOSUPPORT && err != EADDRNOTAVAIL)) {
      return std::move(fd).error();
    }
    missing = std::move(fd).error();
  }
  if (sockets.empty()) return *std::move(missing);
  return sockets;
}

Result<std::vector<Fd>> bind_inet(const InetAddress& inet) noexcept {
  InetPlan plan{TERN_TRY(resolve(inet, Purpose::listen)), inet.host};
  const auto has = [&](int family) {
    return std::any_of(plan.addresses.begin(), plan.addresses.end(),
                       [&](const SockAddr& a) { return a.family() == family; });
  };
  // A wildcard IPv6 socket takes IPv4 too, unless IPv4 has a socket of its own or is not wanted.
  const bool not_four = inet.ipv4 == false || (inet.ipv6 == true && inet.ipv4 != true);
  plan.v6only = has(AF_INET) || not_four;
  const uint16_t first = plan.addresses[0].port();
  const uint16_t last = first == 0 ? first : inet.to.value_or(first);
  if (last < first) {
    return Error(ErrorCode::invalid_argument,
                 "to=" + std::to_string(last) + " is below port " + std::to_string(first));
  }
  for (uint32_t port = first; port < last; ++port) {
    Result<std::vector<Fd>> sockets = bind_all(plan, static_cast<uint16_t>(port));
    if (sockets || sockets.error().sys_errno() != EADDRINUSE) return sockets;
  }
  Result<std::vector<Fd>> sockets = bind_all(plan, last);
  if (last == first) return sockets;
  return std::move(sockets).context("no free port from " + std::to_string(first));
}

/// The file of a unix socket we bound: removed at the end if it is still that file.
class SocketFile {
 public:
  SocketFile() noexcept = default;
  explicit SocketFile(std::string path) noexcept : path_(std::move(path)) {
    struct stat info {};
    if (::lstat(path_.c_str(), &info) != 0) return;
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
  SocketFile(SocketFile&& other) noexcept
      : path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}
  SocketFile& operator=(SocketFile&&) = delete;
  ~SocketFile() {
    struct stat info {};
    if (path_.empty() || ::lstat(path_.c_str(), &info) != 0) return;
    if (info.st_dev == device_ && info.st_ino == inode_) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

class SocketListener final : public BoundListener {
 public:
  SocketListener(std::vector<Fd> sockets, std::vector<Address> bound, SocketFile file,
                 const SocketOptions& options, Fd eventfd) noexcept
      : file_(std::move(file)),
        sockets_(std::move(sockets)),
        bound_(std::move(bound)),
        options_(options),
        interrupt_(std::move(eventfd)) {}

  Result<std::unique_ptr<Channel>> accept() noexcept override {
    return accept_until(TimePoint::max());
  }
  Result<std::unique_ptr<Channel>> accept_within(Milliseconds time) noexcept override {
    return accept_until(time_after(time));
  }
  void abort() noexcept override { interrupt_.raise(); }
  bool accepts_many() const noexcept override { return true; }
  std::vector<Address> bound() const noexcept override { return bound_; }

 private:
  Result<std::unique_ptr<Channel>> accept_until(TimePoint until) noexcept {
    for (;;) {
      std::vector<pollfd> ready;
      for (const Fd& socket : sockets_) ready.push_back({socket.get(), POLLIN, 0});
      const Wait wait = TERN_TRY(wait_ready(ready, interrupt_, until));
      if (wait == Wait::interrupted) {
        return Error(ErrorCode::cancelled, describe() + " was aborted");
      }
      if (wait == Wait::timed_out) return Error(ErrorCode::timed_out, "nobody connected");
      // Not always from the first: a flood on one address must not starve the other.
      for (size_t i = 0; i < ready.size(); ++i) {
        const size_t at = (next_ + i) % ready.size();
        if (ready[at].revents == 0) continue;
        // First all that the channel needs: a connection that was taken and cannot be served is
        // lost.
        Fd eventfd = TERN_TRY(make_eventfd().context(describe()));
        Fd fd = TERN_TRY(accept_one(ready[at].fd));
        if (!fd) continue;
        next_ = at + 1;
        return channel_of(std::move(fd), std::move(eventfd));
      }
    }
  }

  /// An empty Fd: whoever it was has gone, or the network reported an old error of the connection.
  Result<Fd> accept_one(int socket) const noexcept {
    Fd fd(::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) return fd;
    switch (const int err = errno) {
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
      case EOPNOTSUPP:
        return errno_error(code_of_errno(err), describe() + ": accept", err);
      default:
        return Fd();
    }
  }

  std::unique_ptr<Channel> channel_of(Fd fd, Fd eventfd) const noexcept {
    Address peer = SockAddr::peer_of(fd.get()).to_address();
    // A client of a unix socket has no name; ours tells more.
    if (std::holds_alternative<UnixAddress>(peer)) peer = bound_[0];
    if (auto* inet = std::get_if<InetAddress>(&peer)) inet->ipv4 = inet->ipv6 = std::nullopt;
    return SocketChannel::create_with(std::move(fd), std::move(eventfd), to_uri(peer), options_);
  }

  std::string describe() const noexcept { return "listening on " + quoted(to_uri(bound_[0])); }

  // Set once. The file goes after the sockets are closed.
  SocketFile file_;
  std::vector<Fd> sockets_;
  std::vector<Address> bound_;
  SocketOptions options_;
  // The accepting thread.
  size_t next_ = 0;
  // Any thread.
  Interrupt interrupt_;
};

/// fd: and exec: the one channel exists already.
class SingleListener final : public BoundListener {
 public:
  SingleListener(std::unique_ptr<Channel> channel, Fd eventfd) noexcept
      : channel_(std::move(channel)),
        description_(channel_->describe()),
        interrupt_(std::move(eventfd)) {}
  ~SingleListener() override {
    // Nobody took it: a command has nothing to finish.
    if (channel_) channel_->shutdown();
  }

  Result<std::unique_ptr<Channel>> accept() noexcept override {
    if (interrupt_.raised()) {
      return Error(ErrorCode::cancelled, "listening on " + quoted(description_) + " was aborted");
    }
    if (channel_) return std::move(channel_);
    return Error(ErrorCode::failed_precondition, description_ + " gives one connection only");
  }
  void abort() noexcept override { interrupt_.raise(); }
  bool accepts_many() const noexcept override { return false; }
  std::vector<Address> bound() const noexcept override { return {}; }

 private:
  std::unique_ptr<Channel> channel_;
  const std::string description_;
  Interrupt interrupt_;
};

using Made = Result<std::unique_ptr<BoundListener>>;

struct Maker {
  const ListenOptions& options;
  std::unique_ptr<Channel> fd_channel;  // of fd:
  Fd eventfd;

  Made many(std::vector<Fd> sockets, std::vector<Address> bound, SocketFile file,
            bool keep_alive) noexcept {
    const SocketOptions socket{options.stall_timeout_ms, keep_alive};
    return std::make_unique<SocketListener>(std::move(sockets), std::move(bound), std::move(file),
                                            socket, std::move(eventfd));
  }

  Made operator()(const InetAddress& inet) noexcept {
    std::vector<Fd> sockets = TERN_TRY(bind_inet(inet));
    std::vector<Address> bound;
    for (const Fd& socket : sockets) {
      bound.insert(bound.begin(), SockAddr::local_of(socket.get()).to_address());
    }
    return many(std::move(sockets), std::move(bound), {}, inet.keep_alive.value_or(true));
  }

  Made operator()(const UnixAddress& unix_address) noexcept {
    const SockAddr at = TERN_TRY(make_sockaddr(unix_address));
    const std::string& path = unix_address.path;
    struct stat info {};
    const bool has_file = !unix_address.abstract;
    if (has_file && ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
      ::unlink(path.c_str());
    }
    std::vector<Fd> sockets;
    sockets.push_back(TERN_TRY(bind_one(at, false, path)));
    SocketFile file = has_file ? SocketFile(path) : SocketFile();
    return many(std::move(sockets), {Address(unix_address)}, std::move(file), true);
  }

  Made operator()(const VsockAddress& vsock) noexcept {
    const SockAddr at = TERN_TRY(make_sockaddr(vsock));
    std::vector<Fd> sockets;
    sockets.push_back(TERN_TRY(bind_one(at, false, vsock.cid + ":" + vsock.port)));
    std::vector<Address> bound{SockAddr::local_of(sockets[0].get()).to_address()};
    return many(std::move(sockets), std::move(bound), {}, true);
  }

  Made operator()(const FdAddress& /*fd*/) noexcept {
    return std::make_unique<SingleListener>(std::move(fd_channel), std::move(eventfd));
  }

  Made operator()(const ExecAddress& exec) noexcept {
    ExecOptions exec_options;
    exec_options.stall_timeout_ms = options.stall_timeout_ms;
    // All that is left for it to do is to pass on the last words of the return path.
    exec_options.linger = Milliseconds{5000};
    std::unique_ptr<Channel> channel =
        TERN_TRY(ExecChannel::spawn(exec.args, Direction::incoming, exec_options));
    return std::make_unique<SingleListener>(std::move(channel), std::move(eventfd));
  }
};

}  // namespace

Result<std::unique_ptr<BoundListener>> make_listener(const Address& address,
                                                     const ListenOptions& options) noexcept {
  TERN_TRY(validate(address));
  // First, so that a descriptor is taken whatever fails after it.
  std::unique_ptr<Channel> fd_channel;
  if (const auto* fd = std::get_if<FdAddress>(&address)) {
    fd_channel =
        TERN_TRY(open_fd_channel(*fd, Direction::incoming, {options.stall_timeout_ms, true}));
  }
  Maker maker{options, std::move(fd_channel), TERN_TRY(make_eventfd())};
  return std::visit(maker, address);
}

}  // namespace tern::transport
