// SPDX-License-Identifier: Apache-2.0
//
// The client's end of a QMP connection for tests: raw bytes out, JSON lines in.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "migration/qmp/json_text.h"

namespace tern::qmp {

class QmpSocket {
 public:
  explicit QmpSocket(Fd fd) : fd_(std::move(fd)) {}
  /// Retries while nobody listens yet.
  static QmpSocket connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    for (int i = 0; i < 5000; ++i) {
      Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(fd.get(), plain, sizeof address) == 0) return QmpSocket(std::move(fd));
      ::poll(nullptr, 0, 2);
    }
    ADD_FAILURE() << "cannot connect to " << path;
    return QmpSocket(Fd());
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void send_with_fd(std::string_view bytes, int fd) {
    iovec slice{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &slice;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    EXPECT_EQ(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  /// The next line; "" at the end of the stream or when nothing comes for a minute.
  std::string line() {
    while (true) {
      const size_t end = buffer_.find("\r\n");
      if (end != std::string::npos) {
        std::string out = buffer_.substr(0, end);
        buffer_.erase(0, end + 2);
        return out;
      }
      if (!fill(60000)) return "";
    }
  }
  Json json() {
    const std::string text = line();
    return text.empty() ? Json() : Json::parse(text);
  }
  /// The next line that is no event.
  Json reply() {
    Json answer = json();
    while (answer.is_object() && answer.contains("event")) answer = json();
    return answer;
  }
  Json ask(std::string_view request) {
    send(request);
    return reply();
  }
  QmpSocket& negotiate() {
    EXPECT_TRUE(json().contains("QMP"));
    EXPECT_EQ(ask(R"({"execute":"qmp_capabilities"})"), Json({{"return", Json::object()}}));
    return *this;
  }
  bool has_input(int timeout_ms) {
    pollfd p{fd_.get(), POLLIN, 0};
    return !buffer_.empty() || ::poll(&p, 1, timeout_ms) > 0;
  }
  void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  bool fill(int timeout_ms) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (::poll(&p, 1, timeout_ms) <= 0) return false;
    std::array<char, 65536> bytes;
    const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (n <= 0) return false;
    buffer_.append(bytes.data(), static_cast<size_t>(n));
    return true;
  }
  Fd fd_;
  std::string buffer_;
};

}  // namespace tern::qmp
