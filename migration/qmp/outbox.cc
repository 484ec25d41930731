// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/outbox.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace tern::qmp {

void Outbox::push_reply(std::string line) noexcept {
  MutexLock lock(mutex_);
  push({std::move(line), false});
  flush_locked();
}

bool Outbox::push_event(std::string line) noexcept {
  MutexLock lock(mutex_);
  if (given_up_) return false;
  if (pending_events_ + line.size() > kMaxEventBytes) {
    overflowed_ = true;
    give_up();
    return true;
  }
  push({std::move(line), true});
  flush_locked();
  return pending_ > 0 || given_up_;
}

void Outbox::flush() noexcept {
  MutexLock lock(mutex_);
  flush_locked();
}

size_t Outbox::pending_bytes() noexcept {
  MutexLock lock(mutex_);
  return pending_;
}

bool Outbox::given_up() noexcept {
  MutexLock lock(mutex_);
  return given_up_;
}

bool Outbox::overflowed() noexcept {
  MutexLock lock(mutex_);
  return overflowed_;
}

void Outbox::close() noexcept {
  MutexLock lock(mutex_);
  give_up();
  socket_.reset();
}

void Outbox::push(Line line) noexcept {
  if (given_up_) return;
  pending_ += line.text.size();
  if (line.event) pending_events_ += line.text.size();
  lines_.push_back(std::move(line));
}

void Outbox::flush_locked() noexcept {
  while (!given_up_ && !lines_.empty()) {
    const Line& line = lines_.front();
    const ssize_t n = ::send(socket_.get(), line.text.data() + front_sent_,
                             line.text.size() - front_sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) {
      give_up();
      return;
    }
    front_sent_ += static_cast<size_t>(n);
    pending_ -= static_cast<size_t>(n);
    if (front_sent_ < line.text.size()) continue;
    if (line.event) pending_events_ -= line.text.size();
    lines_.pop_front();
    front_sent_ = 0;
  }
}

void Outbox::give_up() noexcept {
  given_up_ = true;
  lines_.clear();
  front_sent_ = 0;
  pending_ = 0;
  pending_events_ = 0;
}

}  // namespace tern::qmp
