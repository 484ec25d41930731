// SPDX-License-Identifier: Apache-2.0
#include "tools/common/qmp_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tools/common/json_fields.h"

namespace tern::tool {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMaxLineBytes = 64u << 20;
constexpr int kMaxDepth = 512;  // of brackets in a line; printing recurses
constexpr int kRetryMs = 10;

int left_ms(SteadyClock::time_point until) noexcept {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, 1 << 30));
}

Error closed() noexcept { return {ErrorCode::channel, "QMP: the server closed the connection"}; }

Error interrupted() noexcept { return {ErrorCode::cancelled, "QMP: interrupted"}; }

// A connected socket, or -1 with errno.
int try_connect(const sockaddr_un& address) noexcept {
  // Non-blocking: a server that serves another client leaves the queue full, and connect() would
  // wait for as long as that one stays.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::connect(fd, plain, sizeof address) == 0) return fd;
  const int saved = errno;
  ::close(fd);
  errno = saved;
  return -1;
}

Error command_error(const std::string& command, const Json& error) noexcept {
  const std::string kind = text_field(error, "class", "GenericError");
  const std::string desc = text_field(error, "desc");
  const ErrorCode code =
      kind == "CommandNotFound" ? ErrorCode::unsupported : ErrorCode::failed_precondition;
  return {code, command + ": " + kind + ": " + desc};
}

std::string status_of(const Json& event) noexcept {
  return text_field(field(event, "data"), "status");
}

// What is wrong with the path, in the words of somebody who has to mend it.
std::string connect_problem(const std::string& path, int error) noexcept {
  struct stat about {};
  const bool there = ::stat(path.c_str(), &about) == 0;
  if (error == ECONNREFUSED && there && !S_ISSOCK(about.st_mode)) return "it is not a socket";
  if (error == ECONNREFUSED && there) return "nobody listens on it: has the program ended?";
  if (error == EAGAIN) return "its queue is full: the server serves somebody else";
  return std::strerror(error);
}

Result<void> drop(Result<Json> reply) noexcept {
  if (!reply) return std::move(reply).error();
  return {};
}

Json parse_line(const std::string& line) noexcept {
  bool deep = false;
  const auto look = [&deep](int depth, Json::parse_event_t, Json&) {
    deep = deep || depth > kMaxDepth;
    return !deep;
  };
  Json value = Json::parse(line, look, false);
  return deep ? Json(nullptr) : value;
}

}  // namespace

QmpClient::QmpClient(QmpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      stop_(other.stop_),
      reply_deadline_(other.reply_deadline_),
      buffer_(std::move(other.buffer_)),
      scanned_(other.scanned_),
      events_(std::move(other.events_)),
      greeting_(std::move(other.greeting_)) {}

QmpClient::~QmpClient() {
  if (fd_ >= 0) ::close(fd_);
}

Result<QmpClient> QmpClient::connect(const std::string& path, Ms deadline) noexcept {
  QmpConnectOptions options;
  options.wait_for_listener = deadline;
  return connect(path, options);
}

Result<QmpClient> QmpClient::connect(const std::string& path,
                                     const QmpConnectOptions& options) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error(ErrorCode::invalid_argument,
                 "socket path '" + path + "' must have 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto until = SteadyClock::now() + options.wait_for_listener;
  while (true) {
    const int fd = try_connect(address);
    if (fd >= 0) {
      QmpClient client(fd);
      client.stop_ = options.stop;
      TERN_TRY(client.negotiate(path, options));
      return client;
    }
    const int error = errno;
    const bool may_come = error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
    const auto failure = [&](ErrorCode code) {
      return Error(code, "cannot connect to '" + path + "': " + connect_problem(path, error),
                   error);
    };
    if (!may_come) return failure(ErrorCode::channel);
    if (left_ms(until) == 0) return failure(ErrorCode::timed_out);
    // A socket file that does not exist yet cannot be waited for.
    pollfd stop{options.stop, POLLIN, 0};
    if (::poll(&stop, 1, kRetryMs) > 0) return interrupted();
  }
}

Result<void> QmpClient::negotiate(const std::string& path,
                                  const QmpConnectOptions& options) noexcept {
  Result<Json> first = read_message(SteadyClock::now() + options.greeting);
  if (!first && first.error().code() == ErrorCode::timed_out) {
    return Error(ErrorCode::timed_out,
                 "'" + path +
                     "' does not greet: it is no QMP socket, or it serves another client (QEMU "
                     "serves one at a time)");
  }
  greeting_ = TERN_TRY(std::move(first).context("QMP greeting of '" + path + "'"));
  const Json& qmp = field(greeting_, "QMP");
  if (!qmp.is_object()) {
    return Error(ErrorCode::peer_protocol, "'" + path + "' is not a QMP socket");
  }
  if (!options.oob) return drop(execute("qmp_capabilities"));
  const Json& offered = field(qmp, "capabilities");
  if (!offered.is_array() || std::find(offered.begin(), offered.end(), "oob") == offered.end()) {
    return Error(ErrorCode::unsupported, "'" + path + "' does not offer out-of-band execution");
  }
  return drop(execute("qmp_capabilities", {{"enable", Json::array({"oob"})}}));
}

Result<Json> QmpClient::execute_raw(const Json& request, int fd) noexcept {
  TERN_TRY(send(request.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n", fd));
  const auto until = SteadyClock::now() + reply_deadline_;
  while (true) {
    Json message = TERN_TRY(read_message(until));
    if (!message.contains("event")) return message;
    events_.push_back(std::move(message));
  }
}

Result<Json> QmpClient::execute(const std::string& command, Json arguments, int fd) noexcept {
  Json request = {{"execute", command}};
  if (!arguments.is_null()) request["arguments"] = std::move(arguments);
  Json reply = TERN_TRY(execute_raw(request, fd).context(command));
  if (reply.contains("error")) return command_error(command, reply["error"]);
  if (!reply.contains("return")) {
    return Error(ErrorCode::peer_protocol, command + ": neither return nor error");
  }
  return std::move(reply["return"]);
}

// Waits for the server; false: until the moment nothing came.
Result<bool> QmpClient::wait(short events, Moment until) noexcept {
  while (true) {
    std::array<pollfd, 2> polls{pollfd{fd_, events, 0}, pollfd{stop_, POLLIN, 0}};
    const int ready = ::poll(polls.data(), polls.size(), left_ms(until));
    if (ready < 0 && errno == EINTR) continue;
    if (polls[1].revents != 0) return interrupted();
    return ready != 0;
  }
}

Result<void> QmpClient::send(std::string_view bytes, int fd) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  const auto until = SteadyClock::now() + reply_deadline_;
  while (!bytes.empty()) {
    iovec slice{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &slice;
    message.msg_iovlen = 1;
    if (fd >= 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!TERN_TRY(wait(POLLOUT, until))) {
        return Error(ErrorCode::timed_out, "QMP: the server does not read");
      }
      continue;
    }
    if (n < 0) return errno_error(ErrorCode::channel, "QMP: cannot send", errno);
    bytes.remove_prefix(static_cast<size_t>(n));
    fd = -1;  // it went with the first bytes
  }
  return {};
}

Result<Json> QmpClient::read_message(Moment until) noexcept {
  while (true) {
    const size_t end = buffer_.find('\n', scanned_);
    if (end != std::string::npos) {
      Json value = parse_line(buffer_.substr(0, end));
      buffer_.erase(0, end + 1);
      scanned_ = 0;
      if (value.is_object()) return value;
      return Error(ErrorCode::peer_protocol, "QMP: the server sent a line that is no JSON object");
    }
    scanned_ = buffer_.size();
    if (buffer_.size() > kMaxLineBytes) {
      return Error(ErrorCode::peer_protocol, "QMP: the server sent a line of more than 64 MiB");
    }
    if (!TERN_TRY(wait(POLLIN, until)))
      return Error(ErrorCode::timed_out, "QMP: the server does not answer");
    std::array<char, 65536> bytes;
    const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    // After `quit` a server may reset the connection: for a client that is its end like any other.
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return closed();
    if (n < 0) return errno_error(ErrorCode::channel, "QMP: cannot receive", errno);
    buffer_.append(bytes.data(), static_cast<size_t>(n));
  }
}

Result<Json> QmpClient::next_event(Ms deadline) noexcept {
  if (!events_.empty()) {
    Json event = std::move(events_.front());
    events_.erase(events_.begin());
    return event;
  }
  Result<Json> message = read_message(SteadyClock::now() + deadline);
  if (!message && message.error().code() == ErrorCode::timed_out) return Json(nullptr);
  return message;
}

Result<Json> QmpClient::wait_event(std::string_view name, std::string_view status,
                                   Ms deadline) noexcept {
  const auto until = SteadyClock::now() + deadline;
  while (true) {
    Json event = TERN_TRY(next_event(Ms(left_ms(until))));
    if (event.is_null()) {
      return Error(ErrorCode::timed_out,
                   "no event " + std::string(name) + " " + std::string(status));
    }
    if (text_field(event, "event") != name) continue;
    if (status.empty() || status_of(event) == status) return event;
  }
}

Result<Json> QmpClient::watch_migration(Ms interval, Ms deadline,
                                        const std::function<void(const Json&)>& progress) noexcept {
  const auto until = SteadyClock::now() + deadline;
  while (true) {
    Json info = TERN_TRY(execute("query-migrate"));
    if (progress) progress(info);
    const std::string status = text_field(info, "status");
    if (status == "completed" || status == "failed" || status == "cancelled") return info;
    if (left_ms(until) == 0) {
      return Error(ErrorCode::timed_out, "QMP: the migration is still '" + status + "'");
    }
    // Events end the pause early: most of them mean that the status has changed.
    pollfd waiting{fd_, POLLIN, 0};
    const int pause = static_cast<int>(interval.count());
    if (::poll(&waiting, 1, std::min(pause, left_ms(until))) > 0) {
      events_.push_back(TERN_TRY(read_message(until)));
    }
  }
}

std::vector<Json> QmpClient::take_events() noexcept { return std::exchange(events_, {}); }

}  // namespace tern::tool
