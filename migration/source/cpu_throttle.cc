// SPDX-License-Identifier: Apache-2.0
#include "migration/source/cpu_throttle.h"

#include "migration/policy/throttle.h"
#include "migration/source/start_thread.h"

namespace tern {

Result<void> CpuThrottle::set(uint32_t percent) noexcept {
  {
    const MutexLock lock(mutex_);
    percent_ = percent;
  }
  progress_.set_throttle(percent);
  if (thread_.joinable()) return {};
  auto thread = start_thread([this] {
    const auto listed = threads_.enter(prefix_, "mig/src/throttl");
    run();
  });
  if (!thread) {
    release();
    return std::move(thread).error();
  }
  thread_ = std::move(*thread);
  return {};
}

uint32_t CpuThrottle::percent() const noexcept {
  const MutexLock lock(mutex_);
  return percent_;
}

void CpuThrottle::release() noexcept {
  {
    const MutexLock lock(mutex_);
    if (percent_ == 0) return;
    percent_ = 0;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  progress_.set_throttle(0);
}

// All vCPUs are held at the same time: one that runs while others stand still would spin on the
// locks they hold.
void CpuThrottle::run() noexcept {
  const uint32_t vcpus = vcpus_.vcpu_count();
  for (;;) {
    ThrottleSlices slices;
    {
      const MutexLock lock(mutex_);
      if (percent_ == 0) break;
      slices = throttle_slices(percent_);
    }
    for (uint32_t i = 0; i < vcpus; ++i) vcpus_.hold_vcpu(i, slices.hold);
    const MutexLock lock(mutex_);
    if (percent_ == 0) break;
    changed_.wait_for(mutex_, slices.hold + slices.run);
  }
  for (uint32_t i = 0; i < vcpus; ++i) vcpus_.hold_vcpu(i, Nanoseconds(0));
}

}  // namespace tern
