// SPDX-License-Identifier: Apache-2.0
//
// DirtyLimiter: holds each vCPU that has a limit back so far that it dirties no more. How far is
// policy/dirty_limits' word; what each vCPU dirtied, the tracker's.
//
//   mig/dirty-limit   while any vCPU has a limit: every tick (20 ms) it reads the counts and holds
//                     vCPUs; every period (a second) it harvests, because a page counts again only
//                     after that
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/thread_list.h"
#include "migration/policy/dirty_limits.h"
#include "tern/dirty_bitmap.h"
#include "tern/dirty_limit.h"

namespace tern {

class DirtyLimiter final : public DirtyLimit {
 public:
  explicit DirtyLimiter(const Parts& parts) noexcept;
  ~DirtyLimiter() override;
  DirtyLimiter(const DirtyLimiter&) = delete;
  DirtyLimiter& operator=(const DirtyLimiter&) = delete;

  Result<void> available() const noexcept override;
  Result<void> set(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept override;
  Result<void> cancel(std::optional<uint32_t> vcpu) noexcept override;
  std::vector<VcpuDirtyLimit> query() const noexcept override TERN_EXCLUDES(mutex_);
  DirtyLimitFigures figures() const noexcept override TERN_EXCLUDES(mutex_);
  std::vector<ThreadInfo> threads() const noexcept override { return threads_.list(); }
  Result<void> begin_migration() noexcept override;
  Result<void> limit_all(uint64_t mib_per_s, uint32_t period_ms) noexcept override;
  void end_migration() noexcept override;

 private:
  Result<void> check_index(std::optional<uint32_t> vcpu) const noexcept;
  Result<void> apply(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept
      TERN_REQUIRES(control_mutex_) TERN_EXCLUDES(mutex_);
  Result<void> start() noexcept TERN_REQUIRES(control_mutex_) TERN_EXCLUDES(mutex_);
  void stop() noexcept TERN_REQUIRES(control_mutex_) TERN_EXCLUDES(mutex_);
  bool needed() const noexcept TERN_REQUIRES(control_mutex_) TERN_EXCLUDES(mutex_);
  void run() noexcept TERN_EXCLUDES(mutex_);
  /// Returns false when the counting has ended.
  bool tick(Nanoseconds took) noexcept TERN_REQUIRES(mutex_);
  void fail(const Error& why) noexcept;

  DirtyHarvester& harvester_;
  VcpuControl& vcpus_;
  const std::span<const RamBlock> ram_;
  LogSink& log_;
  const std::string prefix_;
  ThreadList threads_;

  Mutex control_mutex_;  // one change at a time; before mutex_
  bool migrating_ TERN_GUARDED_BY(control_mutex_) = false;
  std::vector<VcpuDirtyLimit> before_ TERN_GUARDED_BY(control_mutex_);  // a migration took over
  std::thread thread_ TERN_GUARDED_BY(control_mutex_);
  std::unique_ptr<DirtyConsumer> view_;  // set while the thread runs

  mutable Mutex mutex_;
  CondVar changed_;
  DirtyLimits limits_ TERN_GUARDED_BY(mutex_);
  Nanoseconds period_ TERN_GUARDED_BY(mutex_) = Milliseconds(1000);
  bool quit_ TERN_GUARDED_BY(mutex_) = false;
  std::atomic<bool> failed_{false};
};

}  // namespace tern
