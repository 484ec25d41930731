// SPDX-License-Identifier: Apache-2.0
//
// CpuThrottle: holds back all vCPUs of a guest by a percentage of their time (auto-converge). Owns
// the thread that does it, nothing of when or how much. Whatever ends the migration ends it: its
// end lets every vCPU go.
#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/thread_list.h"
#include "stats/progress.h"
#include "tern/result.h"
#include "tern/vcpu_control.h"

namespace tern {

/// Thread rules: set and release from one thread (mig/src/main).
class CpuThrottle {
 public:
  CpuThrottle(VcpuControl& vcpus, ThreadList& threads, const std::string& thread_prefix,
              Progress& progress) noexcept
      : vcpus_(vcpus), threads_(threads), prefix_(thread_prefix), progress_(progress) {}
  ~CpuThrottle() { release(); }
  CpuThrottle(const CpuThrottle&) = delete;
  CpuThrottle& operator=(const CpuThrottle&) = delete;

  /// 1..99; from now on. The first call starts the thread. Errors: resource_exhausted.
  Result<void> set(uint32_t percent) noexcept TERN_EXCLUDES(mutex_);
  /// 0 when nothing is throttled.
  uint32_t percent() const noexcept TERN_EXCLUDES(mutex_);
  /// The thread is gone and every vCPU goes on when it returns. Idempotent.
  void release() noexcept TERN_EXCLUDES(mutex_);

 private:
  void run() noexcept TERN_EXCLUDES(mutex_);

  VcpuControl& vcpus_;
  ThreadList& threads_;
  const std::string prefix_;
  Progress& progress_;
  mutable Mutex mutex_;
  CondVar changed_;
  uint32_t percent_ TERN_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace tern
