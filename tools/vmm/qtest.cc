// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/qtest.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "tools/vmm/qtest_protocol.h"

namespace tern::vmm {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

Result<sockaddr_un> unix_address(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error(ErrorCode::invalid_argument, "socket path must have 1..107 bytes: " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd unix_socket() noexcept {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// Removes a socket file whose owner is gone. One that answers is left alone, and so is any other
/// file.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) noexcept {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error(ErrorCode::invalid_argument, path + " exists and is not a socket");
  }
  const UniqueFd probe = unix_socket();
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN) {
    return Error(ErrorCode::channel, path + ": somebody listens there", EADDRINUSE);
  }
  ::unlink(path.c_str());
  return {};
}

Result<UniqueFd> listen_unix(const std::string& path) noexcept {
  const sockaddr_un address = TERN_TRY(unix_address(path));
  TERN_TRY(remove_stale(path, address));
  UniqueFd fd = unix_socket();
  // The mode is set before bind: at no moment may others connect.
  if (!fd || ::fchmod(fd.get(), 0600) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 1) != 0) {
    return errno_error(ErrorCode::channel, "listening on " + path, errno);
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<QtestServer>> QtestServer::create(const std::string& path,
                                                         GuestMemory& memory,
                                                         LogSink& log) noexcept {
  UniqueFd listener = TERN_TRY(listen_unix(path));
  std::unique_ptr<QtestServer> server(new QtestServer(std::move(listener), path, memory, log));
  try {
    server->thread_ = std::thread([raw = server.get()] { raw->serve(); });
  } catch (const std::system_error& error) {
    return Error(ErrorCode::resource_exhausted, error.what());
  }
  return server;
}

QtestServer::QtestServer(UniqueFd listener, std::string path, GuestMemory& memory,
                         LogSink& log) noexcept
    : listener_(std::move(listener)), path_(std::move(path)), memory_(memory), log_(log) {}

QtestServer::~QtestServer() {
  stop_.raise();
  if (thread_.joinable()) thread_.join();
  ::unlink(path_.c_str());
}

bool QtestServer::wait(int fd, short events) noexcept {
  pollfd waits[] = {{fd, events, 0}, {stop_.get(), POLLIN, 0}};
  while (::poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  return waits[1].revents == 0;
}

void QtestServer::serve() noexcept {
  ::pthread_setname_np(::pthread_self(), "qtest");
  while (wait(listener_.get(), POLLIN)) {
    const UniqueFd client(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) continue;
    log_.log(LogLevel::debug, "qtest client connected");
    serve_client(client.get());
    log_.log(LogLevel::debug, "qtest client gone");
  }
}

void QtestServer::serve_client(int fd) noexcept {
  std::string input;
  std::vector<char> buffer(kReadBytes);
  bool skipping = false;  // inside a line that was too long
  while (wait(fd, POLLIN)) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return;
    size_t searched = input.size();
    input.append(buffer.data(), static_cast<size_t>(n));
    size_t begin = 0;
    for (size_t end; (end = input.find('\n', std::max(begin, searched))) != std::string::npos;) {
      const std::string_view line(&input[begin], end - begin);
      const std::string reply = skipping || line.size() > kQtestMaxLine
                                    ? "FAIL line above " + std::to_string(kQtestMaxLine) + " bytes"
                                    : qtest_execute(memory_, line);
      skipping = false;
      if (!send(fd, reply + "\n")) return;
      begin = end + 1;
    }
    input.erase(0, begin);
    if (input.size() > kQtestMaxLine) {
      input.clear();
      skipping = true;
    }
  }
}

bool QtestServer::send(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait(fd, POLLOUT)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace tern::vmm
