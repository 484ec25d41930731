// SPDX-License-Identifier: Apache-2.0
//
// RateMeter: one dirty-rate measurement after the other.
//
//   mig/dirty-rate   run(): the measurement; waits for the window to pass
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_list.h"
#include "ram/measure/dirty_estimate.h"
#include "tern/dirty_rate.h"

namespace tern {

class RateMeter final : public DirtyRateMeter {
 public:
  explicit RateMeter(const Machine& machine) noexcept;
  ~RateMeter() override;
  RateMeter(const RateMeter&) = delete;
  RateMeter& operator=(const RateMeter&) = delete;

  Result<void> start(const DirtyRateRequest& request) noexcept override;
  DirtyRateReport report() const noexcept override;
  void wait() const noexcept override;

 private:
  Result<void> check_mode(DirtyRateMode mode) const noexcept;
  void run(const DirtyRateRequest& request, const std::stop_token& stop) noexcept;
  Result<void> sample(const DirtyRateRequest& request, const std::stop_token& stop,
                      DirtyRateReport& into) noexcept;
  Result<void> count_pages(DirtyConsumer& view, const DirtyRateRequest& request,
                           const std::stop_token& stop, DirtyRateReport& into) noexcept;
  Result<void> count_by_vcpu(DirtyConsumer& view, const DirtyRateRequest& request,
                             const std::stop_token& stop, DirtyRateReport& into) noexcept;
  /// false: the last measurement, or the tracker after it, is not at its end yet.
  bool wait_idle(Nanoseconds at_most) const noexcept;
  /// Until `when`. Errors: cancelled.
  Result<void> sleep_until(Nanoseconds when, const std::stop_token& stop) noexcept;

  const std::vector<RamBlock> blocks_;
  Clock& clock_;
  LogSink& log_;
  std::unique_ptr<DirtyHarvester> own_harvester_;
  DirtyHarvester* harvester_;  // may be nullptr
  ThreadList threads_;

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  DirtyRateReport report_;  // with mutex_
  bool busy_ = false;       // with mutex_: until the tracker is off again, too
  std::mutex start_mutex_;  // before mutex_: one start at a time
  std::jthread thread_;     // with start_mutex_
};

}  // namespace tern
