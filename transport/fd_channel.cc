// SPDX-License-Identifier: Apache-2.0
//
// The fd: scheme.
#include "transport/fd_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <limits>

#include "transport/address.h"
#include "transport/pipe_channel.h"
#include "transport/sockaddr.h"

namespace tern::transport {

namespace {

Error unusable(const FdAddress& address, std::string_view why) noexcept {
  return Error(ErrorCode::invalid_argument, "fd:" + address.str + ": " + std::string(why));
}

Result<void> check_socket(const FdAddress& address, int fd) noexcept {
  int type = 0;
  int listens = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) {
    return unusable(address, "is not a stream socket");
  }
  length = sizeof listens;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0) {
    return unusable(address, "is a listening socket, a connected one is needed");
  }
  if (SockAddr::peer_of(fd).length() == 0) return unusable(address, "is not a connected socket");
  return {};
}

Result<void> check_access(const FdAddress& address, int fd, Direction direction) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  const int access = flags & O_ACCMODE;
  if (flags < 0 || (flags & O_PATH) != 0) return unusable(address, "cannot be read or written");
  if (direction == Direction::outgoing && access == O_RDONLY) {
    return unusable(address, "is not open for writing");
  }
  if (direction == Direction::incoming && access == O_WRONLY) {
    return unusable(address, "is not open for reading");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Channel>> open_fd_channel(const FdAddress& address, Direction direction,
                                                 const SocketOptions& options) noexcept {
  const auto number = parse_decimal(address.str, std::numeric_limits<int>::max());
  struct stat info {};
  if (!number || ::fstat(static_cast<int>(*number), &info) != 0) {
    return Error(ErrorCode::invalid_argument,
                 "File descriptor named " + quoted(address.str) + " has not been found");
  }
  Fd owned(static_cast<int>(*number));
  const int fd = owned.get();
  const bool is_socket = S_ISSOCK(info.st_mode);
  TERN_TRY(is_socket ? check_socket(address, fd) : check_access(address, fd, direction));
  // A child of the embedder that inherited it would keep the connection open after us.
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags >= 0) (void)::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  std::string description = "fd:" + address.str;
  if (is_socket) {
    return TERN_TRY(SocketChannel::create(std::move(owned), std::move(description), options));
  }
  Fd in;
  Fd out;
  (direction == Direction::incoming ? in : out) = std::move(owned);
  return TERN_TRY(PipeChannel::create(std::move(in), std::move(out), std::move(description),
                                      options.stall_timeout_ms));
}

}  // namespace tern::transport
