// SPDX-License-Identifier: Apache-2.0
//
// How fast may be sent: a token bucket that carries debt.
#include "transport/limiter.h"

#include <algorithm>
#include <limits>

namespace tern::transport {

namespace {

constexpr int64_t kPerByte = 1'000'000'000;
/// 73 years: keeps rate times time inside 128 bits whatever the two are.
constexpr int64_t kMaxElapsedNs = std::numeric_limits<int64_t>::max() / 4;

}  // namespace

void Limiter::set_rate(uint64_t bytes_per_s) noexcept {
  MutexLock lock(mutex_);
  rate_ = bytes_per_s;
  if (bytes_per_s == 0) level_ = 0;
}

uint64_t Limiter::rate() const noexcept {
  MutexLock lock(mutex_);
  return rate_;
}

void Limiter::refill(Nanoseconds now) noexcept {
  // Several senders read the clock before they get the lock: a time before the last one is no time.
  Wide elapsed = started_ ? static_cast<Wide>(now.count()) - last_.count() : 0;
  elapsed = std::clamp<Wide>(elapsed, 0, kMaxElapsedNs);
  last_ = started_ ? std::max(last_, now) : now;
  started_ = true;
  const Wide earned = static_cast<Wide>(rate_) * elapsed;
  const Wide bucket = std::max<Wide>(static_cast<Wide>(rate_) * kBucketTime.count(),
                                     static_cast<Wide>(kMinBucketBytes) * kPerByte);
  level_ = std::min(level_ + earned, bucket);
}

Nanoseconds Limiter::charge(uint64_t bytes, Nanoseconds now) noexcept {
  MutexLock lock(mutex_);
  refill(now);
  if (rate_ == 0) {
    level_ = 0;
    return Nanoseconds{0};
  }
  level_ -= static_cast<Wide>(bytes) * kPerByte;
  if (level_ >= 0) return Nanoseconds{0};
  const Wide wait = (-level_ + static_cast<Wide>(rate_) - 1) / static_cast<Wide>(rate_);
  constexpr Wide kLongest = std::numeric_limits<int64_t>::max();
  return Nanoseconds{static_cast<int64_t>(std::min(wait, kLongest))};
}

}  // namespace tern::transport
