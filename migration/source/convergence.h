// SPDX-License-Identifier: Apache-2.0
//
// Convergence: whether the migration comes to an end, and what is done for it. It is told what was
// sent and what the looks at the dirty pages found, keeps the rates, asks the policies
// (migration/policy) and holds the guest back where they say so. It sends and harvests nothing.
#pragma once

#include <cstdint>

#include "migration/policy/bandwidth.h"
#include "migration/policy/switchover.h"
#include "migration/policy/throttle.h"
#include "migration/source/cpu_throttle.h"
#include "migration/source/source_context.h"

namespace tern {

/// One thread (mig/src/main).
class Convergence {
 public:
  Convergence(SourceContext& context, ThreadList& threads) noexcept;

  ~Convergence() { release_guest(); }
  Convergence(const Convergence&) = delete;
  Convergence& operator=(const Convergence&) = delete;

  /// Gets ready for what the capabilities ask for. Errors: failed_precondition, unsupported where
  /// the machine cannot do it.
  Result<void> prepare() noexcept;
  /// Everything is dirty, nothing sent.
  void begin() noexcept;

  /// What was sent in a stretch, without waits.
  void sent(const BandwidthEstimator::Stretch& stretch) noexcept { bandwidth_.add(stretch); }

  struct Look {
    uint64_t new_bytes = 0;    ///< that were clean before
    uint64_t found_bytes = 0;  ///< also those that were known to be dirty
    Nanoseconds took{0};
    uint64_t sent_bytes = 0;  ///< on the wire, since the beginning
  };
  /// The tracker was harvested. May throttle the guest. Errors: of starting a thread.
  Result<void> looked(const Look& look) noexcept;

  /// What to do next. `pending`: known dirty, `unsent`: of that, in this pass.
  struct Amount {
    uint64_t pending_bytes = 0;
    uint64_t unsent_bytes = 0;
    uint64_t sent_bytes = 0;  ///< on the wire, since the beginning
  };
  SwitchoverVerdict decide(const Amount& amount) noexcept;

  /// What the decision to switch over believed: that of the last decide().
  SwitchoverDecision believed() const noexcept { return believed_; }

  /// Time since the last look.
  Nanoseconds since_look() const noexcept { return context_.clock.now() - last_look_; }
  /// Looks in the middle of a pass belong to it; QEMU's begin a new one.
  bool looks_within_passes() const noexcept {
    return context_.settings.switchover_policy == SwitchoverPolicy::tern;
  }

  /// The guest gets all of its time back. Idempotent; the end does it, too.
  void release_guest() noexcept;

 private:
  SwitchoverInput input(const Amount& amount) const noexcept;
  bool qemu_would_look() const noexcept;
  bool throttles() const noexcept { return context_.settings.auto_converge || limiting_; }
  void tell_rate(Nanoseconds now) noexcept;
  Result<void> judge_period(Nanoseconds now, uint64_t sent_bytes) noexcept;
  Result<void> throttle_more(const DirtyPeriod& period) noexcept;
  Result<void> limit_vcpus() noexcept;

  SourceContext& context_;
  BandwidthEstimator bandwidth_;
  WindowBandwidth window_;
  ConvergenceTrigger trigger_;
  CpuThrottle throttle_;
  bool limiting_ = false;  ///< the machine's dirty limits are ours,
  uint32_t limit_period_ = 0;
  uint64_t limit_mib_ = 0;  ///< and of this size; 0: not set yet
  SwitchoverDecision believed_;
  Nanoseconds last_look_{0};
  Nanoseconds look_time_{0};
  bool just_looked_ = false;
  bool fitted_ = false;
  uint32_t passes_for_less_ = 0;
  // The dirty rate of the last moments.
  Nanoseconds rate_since_{0};
  uint64_t rate_bytes_ = 0;
  uint64_t dirty_rate_ = 0;
  // What statistics say, of more than a second.
  Nanoseconds told_since_{0};
  uint64_t told_dirtied_ = 0;
  // The present period of the throttle.
  Nanoseconds period_since_{0};
  uint64_t period_dirtied_ = 0;
  uint64_t period_found_ = 0;
  uint64_t period_sent_ = 0;
  // Whether throttling helps.
  uint64_t untroubled_rate_ = 0;  ///< bytes/s written before the first step
  bool said_useless_ = false;
};

}  // namespace tern
