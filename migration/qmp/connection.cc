// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tern::qmp {
namespace {

constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kMaxFdsPerMessage =
    253;  // SCM_MAX_FD: a smaller buffer would make the kernel truncate

// Takes every descriptor out of the message, so that none is left open, and keeps the first: QEMU
// does. `into` keeps what it had if none came.
void collect_fds(const msghdr& message, Fd& into) noexcept {
  bool first = true;
  for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(c) + i * sizeof number, sizeof number);
      Fd fd(number);
      if (first) into = std::move(fd);
      first = false;
    }
  }
}

}  // namespace

Connection::Connection(Fd socket, int wake_fd, Dispatcher& dispatcher, QmpDispatcher* vmm,
                       EventHub& hub, QmpVm& vm, LogSink& log) noexcept
    : fd_(socket.get()),
      wake_fd_(wake_fd),
      dispatcher_(dispatcher),
      hub_(hub),
      vm_(vm),
      log_(log),
      outbox_(std::move(socket)),
      lane_(std::make_shared<CommandLane>(
          dispatcher, vmm, session_, [this](Reply reply) { deliver(std::move(reply)); },
          [wake_fd] { wake(wake_fd); })) {
  outbox_.push_reply(dispatcher_.greeting_line());
}

Connection::~Connection() {
  lane_->close();
  hub_.unsubscribe(outbox_);
  if (outbox_.overflowed()) {
    log_.log(LogLevel::warning, "a QMP client did not read its events and was dropped");
  }
  outbox_.close();
}

pollfd Connection::poll_entry() noexcept {
  short events = 0;
  if (outbox_.pending_bytes() > 0) events |= POLLOUT;
  if (!end_of_input_ && input_.empty()) events |= POLLIN;
  return {events != 0 ? fd_ : -1, events, 0};
}

bool Connection::over() noexcept {
  if (outbox_.given_up()) return true;
  // A client that only closed its sending side still gets its answers.
  return end_of_input_ && input_.empty() && lane_->idle() && outbox_.pending_bytes() == 0;
}

void Connection::work(short revents) noexcept {
  outbox_.flush();
  if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !end_of_input_ && input_.empty()) {
    read_some();
  }
  execute_pending();
}

void Connection::read_some() noexcept {
  std::string bytes(kReadBytes, '\0');
  iovec slice{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(fd_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) {
    end_of_input_ = true;
    if (const auto last = scanner_.finish()) take(*last);
    return;
  }
  collect_fds(message, arrived_);
  bytes.resize(static_cast<size_t>(n));
  input_ = std::move(bytes);
}

bool Connection::may_take() noexcept {
  // What a command changes in the session may be looked at when none runs; without out-of-band
  // execution nothing is taken otherwise.
  if (lane_->idle()) return true;
  return oob_ && lane_->accepts(true);
}

void Connection::execute_pending() noexcept {
  std::string_view rest = input_;
  // A client that sends without reading has to wait: what it is owed stays bounded.
  while (!rest.empty() && client_reads() && may_take() && !outbox_.given_up()) {
    const auto item = scanner_.next(rest);
    if (item) take(*item);
  }
  if (outbox_.given_up()) rest = {};
  input_ = std::string(rest);
}

void Connection::take(const JsonScanner::Item& item) noexcept {
  if (lane_->idle()) oob_ = session_.oob;
  Request request =
      item.is_text ? Dispatcher::read(item.value, oob_) : Dispatcher::broken(item.value);
  request.fd = std::move(arrived_);
  if (!request.oob) return lane_->submit(std::move(request));
  // Overtakes: its reply may come before those of commands that were sent earlier.
  outbox_.push_reply(dispatcher_.execute(request, session_).line);
}

// On the thread that ran the command, which may be the VMM's.
void Connection::deliver(Reply reply) noexcept {
  if (session_.negotiated && !subscribed_) {
    subscribed_ = true;
    hub_.subscribe(outbox_, wake_fd_, std::move(reply.line));
  } else {
    outbox_.push_reply(std::move(reply.line));
  }
  if (reply.quit) vm_.quit();
}

}  // namespace tern::qmp
