// SPDX-License-Identifier: Apache-2.0
#include "migration/source/convergence.h"

#include <string>
#include <utility>

#include "base/per_second.h"

namespace tern {
namespace {

constexpr Nanoseconds kTellPeriod = Milliseconds(1000);  // as QEMU: longer than this
constexpr Nanoseconds kRateTime = Milliseconds(50);      // shorter ones say little
constexpr Nanoseconds kQemuTimer = Milliseconds(5000);   // QEMU 10.0's, for auto-converge
constexpr uint32_t kMuchThrottle = 60;  // if nothing has changed by then, nothing will

}  // namespace

Convergence::Convergence(SourceContext& context, ThreadList& threads) noexcept
    : context_(context),
      throttle_(*context.machine.vcpus, threads, context.settings.thread_prefix, context.progress) {
}

Result<void> Convergence::prepare() noexcept {
  if (context_.settings.auto_converge && context_.machine.vcpus->vcpu_count() == 0) {
    return Error(ErrorCode::failed_precondition,
                 "auto-converge: this machine has no vCPUs that can be held back");
  }
  if (!context_.settings.dirty_limit) return {};
  if (context_.machine.dirty_limit == nullptr) {
    return Error(ErrorCode::failed_precondition,
                 "dirty-limit: this machine has no vCPUs that can be held back, or nothing tracks "
                 "what they write");
  }
  TERN_TRY(context_.machine.dirty_limit->begin_migration().context("dirty-limit"));
  limiting_ = true;
  return {};
}

void Convergence::release_guest() noexcept {
  throttle_.release();
  if (!limiting_) return;
  limiting_ = false;
  context_.machine.dirty_limit->end_migration();
  context_.progress.set_dirty_limit(std::nullopt);
}

void Convergence::begin() noexcept {
  last_look_ = rate_since_ = told_since_ = period_since_ = context_.clock.now();
}

Result<void> Convergence::looked(const Look& look) noexcept {
  const Nanoseconds now = context_.clock.now();
  last_look_ = now;
  look_time_ = look.took;
  just_looked_ = true;
  if (limit_mib_ != 0) {
    context_.progress.set_dirty_limit(context_.machine.dirty_limit->figures());
  }
  rate_bytes_ += look.new_bytes;
  if (now - rate_since_ >= kRateTime) {
    dirty_rate_ = per_second(rate_bytes_, now - rate_since_);
    rate_bytes_ = 0;
    rate_since_ = now;
  }
  told_dirtied_ += look.new_bytes;
  if (now - told_since_ > kTellPeriod) tell_rate(now);
  period_dirtied_ += look.new_bytes;
  period_found_ += look.found_bytes;
  const bool period_over = looks_within_passes()
                               ? now - period_since_ >= ConvergenceTrigger::kPeriod
                               : now - period_since_ > ConvergenceTrigger::kQemuPeriod;
  return period_over ? judge_period(now, look.sent_bytes) : Result<void>();
}

void Convergence::tell_rate(Nanoseconds now) noexcept {
  context_.progress.update_rates();
  context_.progress.dirty_pages_rate.set(per_second(told_dirtied_, now - told_since_) /
                                         kTargetPageBytes);
  told_dirtied_ = 0;
  told_since_ = now;
}

Result<void> Convergence::judge_period(Nanoseconds now, uint64_t sent_bytes) noexcept {
  const DirtyPeriod period{period_dirtied_, sent_bytes - period_sent_};
  const Nanoseconds time = now - period_since_;
  // In the first pass hardly a page that is written was clean: for what the guest does, all count.
  const uint64_t rate = per_second(std::exchange(period_found_, 0), time);
  period_dirtied_ = 0;
  period_sent_ = sent_bytes;
  period_since_ = now;
  if (!throttles()) return {};
  if (throttle_.percent() == 0) untroubled_rate_ = rate;
  const uint32_t threshold =
      context_.live.throttle_trigger_threshold.load(std::memory_order_relaxed);
  if (!trigger_.judge(period, threshold)) return {};
  // Nobody can be held back who stands still already.
  if (context_.machine.vcpus->run_state() != RunState::running) return {};
  if (throttle_.percent() >= kMuchThrottle && !said_useless_ && rate > untroubled_rate_ / 10 * 9) {
    said_useless_ = true;
    context_.log.log(LogLevel::warning,
                     "throttling is not helping: the guest dirties " + std::to_string(rate >> 20) +
                         " MiB/s at " + std::to_string(throttle_.percent()) + "%, and dirtied " +
                         std::to_string(untroubled_rate_ >> 20) +
                         " MiB/s without. A longer downtime-limit or more bandwidth would");
  }
  return limiting_ ? limit_vcpus() : throttle_more(period);
}

// Set once, and again only when the operator changed his mind.
Result<void> Convergence::limit_vcpus() noexcept {
  const uint64_t wanted = context_.live.vcpu_dirty_limit.load(std::memory_order_relaxed);
  const auto period =
      static_cast<uint32_t>(context_.live.vcpu_dirty_limit_period.load(std::memory_order_relaxed));
  if (wanted == limit_mib_ && period == limit_period_) return {};
  limit_mib_ = wanted;
  limit_period_ = period;
  context_.log.log(LogLevel::info,
                   "limiting every vCPU to " + std::to_string(wanted) + " MiB/s of dirty memory");
  return context_.machine.dirty_limit->limit_all(wanted, period);
}

Result<void> Convergence::throttle_more(const DirtyPeriod& period) noexcept {
  const LiveSettings& live = context_.live;
  ThrottleRules rules;
  rules.trigger_threshold = live.throttle_trigger_threshold.load(std::memory_order_relaxed);
  rules.initial = live.cpu_throttle_initial.load(std::memory_order_relaxed);
  rules.increment = live.cpu_throttle_increment.load(std::memory_order_relaxed);
  rules.tailslow = live.cpu_throttle_tailslow.load(std::memory_order_relaxed);
  rules.max = live.max_cpu_throttle.load(std::memory_order_relaxed);
  const uint32_t before = throttle_.percent();
  const uint32_t percent = next_throttle(before, period, rules);
  if (percent == before) return {};
  context_.log.log(LogLevel::info, "throttling the guest: " + std::to_string(percent) + "% (" +
                                       std::to_string(period.dirtied >> 20) +
                                       " MiB dirtied while " + std::to_string(period.sent >> 20) +
                                       " MiB were sent)");
  return throttle_.set(percent).context("auto-converge");
}

SwitchoverInput Convergence::input(const Amount& amount) const noexcept {
  SwitchoverInput in;
  const uint64_t given = context_.live.avail_switchover_bandwidth.load(std::memory_order_relaxed);
  const uint64_t measured =
      looks_within_passes() ? bandwidth_.bytes_per_s() : window_.bytes_per_s();
  in.bandwidth = given != 0 ? given : measured;
  in.pending_bytes = amount.pending_bytes;
  in.unsent_bytes = amount.unsent_bytes;
  in.dirty_rate = dirty_rate_;
  in.since_look = since_look();
  in.look_time = look_time_;
  if (throttles()) in.look_period = ConvergenceTrigger::kPeriod;
  in.passes_for_less = passes_for_less_;
  in.downtime_limit_ms = context_.live.downtime_limit_ms.load(std::memory_order_relaxed);
  in.just_looked = just_looked_;
  in.fitted = fitted_;
  const bool runs = context_.machine.vcpus->run_state() == RunState::running;
  in.can_look = runs && context_.machine.tracker != nullptr;
  in.may_switch =
      !context_.settings.switchover_ack || context_.answers.said().switchover_ack || !runs;
  return in;
}

// QEMU 10.2 with auto-converge: also by a timer, so that a long pass does not hide what the guest
// does. Not before the first pass is over.
bool Convergence::qemu_would_look() const noexcept {
  return context_.settings.switchover_policy == SwitchoverPolicy::qemu_10_2 &&
         context_.settings.auto_converge && context_.progress.dirty_sync_count.get() > 1 &&
         since_look() >= kQemuTimer;
}

SwitchoverVerdict Convergence::decide(const Amount& amount) noexcept {
  context_.progress.set_guest_runs(context_.machine.vcpus->run_state() == RunState::running);
  window_.look(amount.sent_bytes, context_.clock.now());
  const SwitchoverInput in = input(amount);
  just_looked_ = false;
  SwitchoverVerdict verdict;
  if (looks_within_passes()) {
    verdict = decide_switchover(in);
  } else {
    verdict = decide_as_qemu(in, context_.settings.switchover_policy);
    if (verdict.action == SwitchoverAction::send && !in.just_looked && qemu_would_look()) {
      verdict.action = SwitchoverAction::look;
    }
  }
  if (in.just_looked) fitted_ = in.pending_bytes <= verdict.threshold_bytes;
  if (in.bandwidth != 0) {
    context_.progress.set_expected_downtime(Milliseconds(verdict.expected_downtime_ms));
  }
  if (verdict.pass_for_less && amount.unsent_bytes == amount.pending_bytes) ++passes_for_less_;
  believed_.bandwidth = in.bandwidth;
  believed_.pending_bytes = in.pending_bytes;
  believed_.threshold_bytes = verdict.threshold_bytes;
  believed_.expected_downtime_ms = verdict.expected_downtime_ms;
  believed_.dirty_rate = in.dirty_rate;
  believed_.overhead_ms = verdict.overhead_ms;
  return verdict;
}

}  // namespace tern
