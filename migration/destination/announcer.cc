// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/announcer.h"

#include <algorithm>
#include <chrono>

namespace tern {

Milliseconds announce_delay(const AnnounceParameters& p, uint64_t round) noexcept {
  // The ranges of the parameters keep this far from overflow (100000 + 1000 * 10000).
  return Milliseconds(static_cast<int64_t>(std::min(p.initial + round * p.step, p.max)));
}

void Announcer::start(const AnnounceParameters& parameters,
                      std::vector<std::string> interfaces) noexcept {
  stop();
  if (parameters.rounds == 0) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = false;
  }
  thread_ = std::thread([this, parameters, names = std::move(interfaces)] {
    const auto listed = threads_.enter(thread_prefix_, "mig/announce");
    run(parameters, names);
  });
}

void Announcer::stop() noexcept {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Announcer::run(const AnnounceParameters& parameters,
                    const std::vector<std::string>& interfaces) noexcept {
  for (uint64_t round = 0;; ++round) {
    vmm_.announce(interfaces);
    if (round + 1 >= parameters.rounds) return;
    if (!pause(announce_delay(parameters, round))) return;
  }
}

bool Announcer::pause(Milliseconds time) noexcept {
  const auto until = std::chrono::steady_clock::now() + time;
  const MutexLock lock(mutex_);
  while (!stopping_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return true;
    (void)changed_.wait_for(mutex_, left);
  }
  return false;
}

}  // namespace tern
