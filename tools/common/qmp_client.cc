// SPDX-License-Identifier: Apache-2.0
#include "tools/common/qmp_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace tern::tool {
namespace {

using Clock = std::chrono::steady_clock;
constexpr QmpClient::Ms kReplyDeadline{60000};
constexpr size_t kMaxMessage = 64u << 20;

Result<int> try_connect(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error(ErrorCode::invalid_argument, "socket path '" + path + "' must have 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno_error(ErrorCode::resource_exhausted, "socket", errno);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    ::close(fd);
    return errno_error(ErrorCode::channel, "cannot connect to '" + path + "'", error);
  }
  return fd;
}

}  // namespace

QmpClient::QmpClient(QmpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)),
      events_(std::move(other.events_)),
      greeting_(std::move(other.greeting_)) {}

QmpClient::~QmpClient() {
  if (fd_ >= 0) ::close(fd_);
}

Result<QmpClient> QmpClient::connect(const std::string& path, Ms deadline) noexcept {
  const auto until = Clock::now() + deadline;
  for (;;) {
    auto fd = try_connect(path);
    if (fd) {
      QmpClient client(*fd);
      client.greeting_ = TERN_TRY(client.read_message(kReplyDeadline).context("QMP greeting of '" + path + "'"));
      if (!client.greeting_.contains("QMP")) {
        return Error(ErrorCode::peer_protocol, "'" + path + "' is not a QMP socket");
      }
      TERN_TRY(client.execute("qmp_capabilities"));
      return client;
    }
    const int error = fd.error().sys_errno();
    const bool not_yet = error == ENOENT || error == ECONNREFUSED;
    if (!not_yet || Clock::now() >= until) return std::move(fd).error();
    std::this_thread::sleep_for(Ms(10));  // the server is starting; a path cannot be waited for
  }
}

Result<void> QmpClient::send(const std::string& text) noexcept {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::send(fd_, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::channel, "writing to the QMP socket", errno);
    at += static_cast<size_t>(n);
  }
  return {};
}

Result<Json> QmpClient::read_message(Ms deadline) noexcept {
  const auto until = Clock::now() + deadline;
  for (;;) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      Json message = Json::parse(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      buffer_.erase(0, end + 1);
      if (message.is_discarded()) return Error(ErrorCode::peer_protocol, "the QMP server sent no JSON");
      return message;
    }
    if (buffer_.size() > kMaxMessage) return Error(ErrorCode::peer_protocol, "QMP message above 64 MiB");
    const auto left = std::chrono::duration_cast<Ms>(until - Clock::now()).count();
    pollfd p{fd_, POLLIN, 0};
    const int ready = ::poll(&p, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Error(ErrorCode::timed_out, "no answer from the QMP server");
    char chunk[65536];
    const ssize_t n = ::recv(fd_, chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::channel, "reading from the QMP socket", errno);
    if (n == 0) return Error(ErrorCode::channel, "the QMP server closed the connection");
    buffer_.append(chunk, static_cast<size_t>(n));
  }
}

Result<Json> QmpClient::execute_raw(const Json& request) noexcept {
  TERN_TRY(send(request.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n"));
  for (;;) {
    Json message = TERN_TRY(read_message(kReplyDeadline));
    if (!message.contains("event")) return message;
    events_.push_back(std::move(message));
  }
}

Result<Json> QmpClient::execute(const std::string& command, Json arguments) noexcept {
  Json request{{"execute", command}};
  if (!arguments.is_null()) request["arguments"] = std::move(arguments);
  Json reply = TERN_TRY(execute_raw(request));
  if (reply.contains("error")) {
    const Json& e = reply["error"];
    return Error(ErrorCode::failed_precondition,
                 command + ": " + e.value("class", "GenericError") + ": " + e.value("desc", ""));
  }
  return Json(reply["return"]);
}

Result<Json> QmpClient::next_event(Ms deadline) noexcept {
  if (!events_.empty()) {
    Json event = std::move(events_.front());
    events_.erase(events_.begin());
    return event;
  }
  auto message = read_message(deadline);
  if (!message && message.error().code() == ErrorCode::timed_out) return Json(nullptr);
  return message;
}

std::vector<Json> QmpClient::take_events() noexcept { return std::exchange(events_, {}); }

}  // namespace tern::tool
