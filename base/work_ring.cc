// SPDX-License-Identifier: Apache-2.0
#include "base/work_ring.h"

namespace tern {

std::optional<size_t> WorkRing::free_place() const noexcept {
  const MutexLock lock(mutex_);
  if (submitted_ - retired_ == done_.size()) return std::nullopt;
  return submitted_ % done_.size();
}

void WorkRing::submit() noexcept {
  const MutexLock lock(mutex_);
  done_[submitted_ % done_.size()] = 0;
  ++submitted_;
  if (idle_ != 0) work_.notify_all();
}

std::optional<size_t> WorkRing::oldest_done(bool wait) noexcept {
  const MutexLock lock(mutex_);
  if (retired_ == submitted_) return std::nullopt;
  const size_t place = retired_ % done_.size();
  while (wait && done_[place] == 0 && !stopped_) {
    owner_waits_ = true;
    collected_.wait(mutex_);
    owner_waits_ = false;
  }
  if (done_[place] == 0) return std::nullopt;
  return place;
}

void WorkRing::retire() noexcept {
  const MutexLock lock(mutex_);
  ++retired_;
}

std::optional<size_t> WorkRing::take() noexcept {
  const MutexLock lock(mutex_);
  while (taken_ == submitted_ && !stopped_) {
    ++idle_;
    work_.wait(mutex_);
    --idle_;
  }
  if (stopped_) return std::nullopt;
  return taken_++ % done_.size();
}

void WorkRing::done(size_t place) noexcept {
  const MutexLock lock(mutex_);
  done_[place] = 1;
  if (owner_waits_ && place == retired_ % done_.size()) collected_.notify_all();
}

void WorkRing::stop() noexcept {
  const MutexLock lock(mutex_);
  stopped_ = true;
  work_.notify_all();
  collected_.notify_all();
}

}  // namespace tern
