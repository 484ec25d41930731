// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/announcer.h"

#include <algorithm>
#include <chrono>

#include "migration/source/start_thread.h"

namespace tern {

AnnounceParameters announce_parameters(const Settings& settings) noexcept {
  return {settings.announce_initial, settings.announce_max, settings.announce_rounds,
          settings.announce_step};
}

Milliseconds announce_delay(const AnnounceParameters& p, uint64_t round) noexcept {
  // announce-self takes any number: what overflows is longer than anybody waits.
  constexpr uint64_t kDayMs = 86400000;
  uint64_t delay = 0;
  if (__builtin_mul_overflow(round, p.step, &delay) ||
      __builtin_add_overflow(delay, p.initial, &delay)) {
    delay = kDayMs;
  }
  return Milliseconds(static_cast<int64_t>(std::min({delay, p.max, kDayMs})));
}

Result<void> Announcer::start(const AnnounceParameters& parameters,
                              std::vector<std::string> interfaces) noexcept {
  stop();
  if (parameters.rounds == 0) return {};
  {
    const MutexLock lock(mutex_);
    stopping_ = false;
  }
  idle_.store(false);
  auto thread = start_thread([this, parameters, names = std::move(interfaces)] {
    const auto listed = threads_.enter(thread_prefix_, "mig/announce");
    run(parameters, names);
    idle_.store(true);
  });
  if (!thread) {
    idle_.store(true);
    return std::move(thread).error();
  }
  thread_ = std::move(*thread);
  return {};
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
