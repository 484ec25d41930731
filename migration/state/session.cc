// SPDX-License-Identifier: Apache-2.0
#include "migration/state/session.h"

#include <utility>

namespace tern {

std::optional<Status> visible_in(PeerVersion dialect, Status status) noexcept {
  switch (status) {
    case Status::failing:  // 11.x
      if (dialect >= PeerVersion::qemu_11_0) return status;
      return std::nullopt;
    case Status::postcopy_device:  // 10.2
      if (dialect >= PeerVersion::qemu_10_2) return status;
      return Status::postcopy_active;
    case Status::postcopy_recover_setup:  // 9.1
      if (dialect >= PeerVersion::qemu_9_1) return status;
      return std::nullopt;
    default:
      return status;
  }
}

Session::Session(Side side, EventSink* sink, PeerVersion dialect) noexcept
    : side_(side), sink_(sink), dialect_(dialect) {}

Result<Status> Session::post(Trigger trigger) noexcept {
  auto posted = post_silently(trigger);
  if (posted) deliver();
  return posted;
}

Result<Status> Session::post_silently(Trigger trigger) noexcept {
  Status now;
  {
    const MutexLock lock(mutex_);
    const auto next = next_status(side_, status_, trigger);
    if (!next) {
      return Error(ErrorCode::failed_precondition, "event '" + std::string(to_string(trigger)) +
                                                       "' is not possible in state '" +
                                                       std::string(to_string(status_)) +
                                                       "' of the " + std::string(to_string(side_)));
    }
    now = *next;
    const bool moved = now != status_;
    status_ = now;
    started_ = true;
    if (trigger == Trigger::start) {
      first_error_.reset();
      later_errors_ = 0;
    }
    const auto visible = visible_in(dialect_, now);
    if (moved && visible && *visible != visible_) {
      visible_ = *visible;
      enqueue(StatusChanged{visible_});
    }
    changed_.notify_all();
  }
  return now;
}

Result<Status> Session::fail(const Error& error) noexcept {
  record(error);
  return post(Trigger::error);
}

void Session::record(const Error& error) noexcept {
  const MutexLock lock(mutex_);
  if (first_error_) {
    ++later_errors_;
  } else {
    first_error_ = error;
  }
}

void Session::tell(const Event& event) noexcept {
  {
    const MutexLock lock(mutex_);
    enqueue(event);
  }
  deliver();
}

void Session::enqueue(const Event& event) noexcept {
  if (sink_ != nullptr) queue_.push_back(event);
}

void Session::deliver() noexcept {
  // One thread at a time takes the queue and delivers without the lock; whoever comes meanwhile
  // only queues.
  for (;;) {
    std::vector<Event> batch;
    {
      const MutexLock lock(mutex_);
      if (delivering_ || queue_.empty()) return;
      delivering_ = true;
      batch.swap(queue_);
    }
    for (const Event& event : batch) sink_->on_event(event);
    {
      const MutexLock lock(mutex_);
      delivering_ = false;
      changed_.notify_all();
    }
  }
}

Status Session::status() const noexcept {
  const MutexLock lock(mutex_);
  return status_;
}

Status Session::visible_status() const noexcept {
  const MutexLock lock(mutex_);
  return visible_;
}

std::optional<Error> Session::first_error() const noexcept {
  const MutexLock lock(mutex_);
  return first_error_;
}

uint64_t Session::later_errors() const noexcept {
  const MutexLock lock(mutex_);
  return later_errors_;
}

void Session::wait_ended() noexcept {
  const MutexLock lock(mutex_);
  while (started_ && (is_running(status_) || delivering_ || !queue_.empty())) changed_.wait(mutex_);
}

Status Session::wait_while(Status status) noexcept {
  const MutexLock lock(mutex_);
  while (status_ == status) changed_.wait(mutex_);
  return status_;
}

}  // namespace tern
