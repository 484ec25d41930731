// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "migration/qmp/connection.h"
#include "migration/qmp/unix_listener.h"

namespace tern::qmp {
namespace {

// Without descriptors a waiting client keeps the listening socket readable; look again after this
// long.
constexpr int kOutOfDescriptorsMs = 100;

void drain(int event_fd) noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(event_fd, &count, sizeof count);
}

class Loop {
 public:
  Loop(UnixListener& listener, Fd wake_fd, const ServerParts& parts) noexcept
      : listener_(listener), wake_fd_(std::move(wake_fd)), parts_(parts) {}

  Result<void> run() noexcept {
    while (true) {
      // The third entry is the client, or, while there is none, the listening socket.
      std::array<pollfd, 3> fds{
          {{parts_.stop_fd, POLLIN, 0}, {wake_fd_.get(), POLLIN, 0}, third()}};
      const int timeout = client_ || !out_of_descriptors_ ? -1 : kOutOfDescriptorsMs;
      if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) {
        return errno_error(ErrorCode::resource_exhausted, "QMP server: poll", errno);
      }
      if (fds[0].revents != 0) return {};
      if (fds[1].revents != 0) drain(wake_fd_.get());
      TERN_TRY(serve_third(fds[2].revents));
    }
  }

 private:
  pollfd third() noexcept {
    if (client_) return client_->poll_entry();
    return {out_of_descriptors_ ? -1 : listener_.fd(), POLLIN, 0};
  }

  Result<void> serve_third(short revents) noexcept {
    out_of_descriptors_ = false;
    if (client_) {
      client_->work(revents);
      if (client_->over()) client_.reset();
      return {};
    }
    if (revents == 0) return {};
    Result<Fd> accepted = listener_.accept();
    if (!accepted && accepted.error().code() == ErrorCode::resource_exhausted) {
      out_of_descriptors_ = true;
      parts_.log.log(LogLevel::warning, accepted.error().message());
      return {};
    }
    Fd socket = TERN_TRY(std::move(accepted));
    if (socket) {
      client_.emplace(std::move(socket), wake_fd_.get(), parts_.dispatcher, parts_.vmm, parts_.hub,
                      parts_.vm, parts_.log);
    }
    return {};
  }

  UnixListener& listener_;
  const Fd wake_fd_;
  const ServerParts& parts_;
  bool out_of_descriptors_ = false;
  std::optional<Connection> client_;
};

}  // namespace

Result<void> serve(const std::string& path, const ServerParts& parts) noexcept {
  Fd wake_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd)
    return errno_error(ErrorCode::resource_exhausted, "cannot create an eventfd", errno);
  UnixListener listener = TERN_TRY(UnixListener::bind(path));
  Loop loop(listener, std::move(wake_fd), parts);
  return loop.run();
}

}  // namespace tern::qmp
