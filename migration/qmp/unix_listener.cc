// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tern::qmp {
namespace {

Result<Fd> stream_socket() noexcept {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error(ErrorCode::resource_exhausted, "cannot create a unix socket", errno);
  return fd;
}

const sockaddr* as_sockaddr(const sockaddr_un& address) noexcept {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

// Whether somebody listens on it. Anything but a refusal counts as in use: it is not ours to
// remove.
Result<bool> is_stale(const std::string& path, const sockaddr_un& address) noexcept {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return true;  // gone meanwhile
  if (!S_ISSOCK(info.st_mode)) {
    return Error(ErrorCode::failed_precondition, "'" + path + "' exists and is no socket");
  }
  const Fd probe = TERN_TRY(stream_socket());
  const int rc = ::connect(probe.get(), as_sockaddr(address), sizeof address);
  return rc != 0 && (errno == ECONNREFUSED || errno == ENOENT);
}

}  // namespace

Result<UnixListener> UnixListener::bind(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path ||
      path.find('\0') != std::string::npos) {
    return Error(ErrorCode::invalid_argument, "the path of a QMP socket has 1..107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd = TERN_TRY(stream_socket());
  // bind() gives the file the mode that the unbound socket has, so there is no moment at which
  // others could connect; changing the umask instead would act on the whole process.
  if (::fchmod(fd.get(), 0600) != 0) {
    return errno_error(ErrorCode::channel, "cannot restrict '" + path + "'", errno);
  }
  int rc = ::bind(fd.get(), as_sockaddr(address), sizeof address);
  if (rc != 0 && errno == EADDRINUSE) {
    if (!TERN_TRY(is_stale(path, address))) {
      return Error(ErrorCode::failed_precondition, "'" + path + "' is in use by another process");
    }
    (void)::unlink(path.c_str());
    rc = ::bind(fd.get(), as_sockaddr(address), sizeof address);
  }
  if (rc != 0) return errno_error(ErrorCode::channel, "cannot bind '" + path + "'", errno);
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno_error(ErrorCode::channel, "cannot find '" + path + "' after binding it", errno);
  }
  UnixListener listener(std::move(fd), path, info.st_dev, info.st_ino);
  constexpr int kBacklog = 16;  // clients queue here for their turn
  if (::listen(listener.fd(), kBacklog) != 0) {
    return errno_error(ErrorCode::channel, "cannot listen on '" + path + "'", errno);
  }
  return listener;
}

UnixListener::~UnixListener() {
  if (!socket_) return;
  struct stat info {};
  if (::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    (void)::unlink(path_.c_str());
  }
}

Result<Fd> UnixListener::accept() noexcept {
  Fd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (client) return client;
  switch (errno) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
      return Fd();
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return errno_error(ErrorCode::resource_exhausted, "cannot accept a QMP client", errno);
    default:
      return errno_error(ErrorCode::channel, "cannot accept a QMP client", errno);
  }
}

}  // namespace tern::qmp
