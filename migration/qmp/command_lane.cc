// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_lane.h"

#include <utility>

namespace tern::qmp {

bool CommandLane::accepts(bool oob_enabled) const noexcept {
  const MutexLock lock(mutex_);
  if (!oob_enabled) return !posted_;
  return waiting_.size() < kMaxWaiting;
}

bool CommandLane::idle() const noexcept {
  const MutexLock lock(mutex_);
  return !posted_;
}

void CommandLane::post() noexcept {
  if (vmm_ == nullptr) return run_next();
  vmm_->post([self = shared_from_this()] { self->run_next(); });
}

void CommandLane::submit(Request request) noexcept {
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    waiting_.push_back(std::move(request));
    if (posted_) return;
    posted_ = true;
  }
  post();
}

void CommandLane::run_next() noexcept {
  Request request;
  {
    const MutexLock lock(mutex_);
    if (closed_ || waiting_.empty()) {
      posted_ = false;
      return;
    }
    request = std::move(waiting_.front());
    waiting_.pop_front();
    running_ = true;
  }
  deliver_(dispatcher_.execute(request, session_));
  bool more = false;
  {
    // Under the lock: after it the connection, and what settled_ points to, may be gone.
    const MutexLock lock(mutex_);
    more = !waiting_.empty() && !closed_;
    posted_ = more;
    running_ = false;
    settled_();
  }
  ended_.notify_all();
  if (more) post();
}

void CommandLane::close() noexcept {
  const MutexLock lock(mutex_);
  closed_ = true;
  waiting_.clear();
  while (running_) ended_.wait(mutex_);
}

}  // namespace tern::qmp
