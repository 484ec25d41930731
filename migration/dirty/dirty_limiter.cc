// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/dirty_limiter.h"

#include <algorithm>
#include <utility>

#include "migration/source/start_thread.h"

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kRingBytes = 4096ull * kTargetPageBytes;
constexpr Nanoseconds kDefaultPeriod = Milliseconds(1000);

uint64_t per_second(uint64_t bytes, Nanoseconds time) noexcept {
  return time.count() <= 0 ? 0
                           : static_cast<uint64_t>(static_cast<double>(bytes) * 1e9 /
                                                   static_cast<double>(time.count()));
}

}  // namespace

Result<std::unique_ptr<DirtyLimit>> DirtyLimit::create(const Parts& parts) noexcept {
  if (parts.harvester == nullptr || parts.vcpus == nullptr) {
    return Error(ErrorCode::invalid_argument, "DirtyLimit: harvester or vcpus is not set");
  }
  if (parts.vcpus->vcpu_count() == 0) {
    return Error(ErrorCode::invalid_argument,
                 "DirtyLimit: this machine has no vCPUs that can be held back");
  }
  return std::unique_ptr<DirtyLimit>(std::make_unique<DirtyLimiter>(parts));
}

DirtyLimiter::DirtyLimiter(const Parts& parts) noexcept
    : harvester_(*parts.harvester),
      vcpus_(*parts.vcpus),
      ram_(parts.ram),
      log_(parts.log != nullptr ? *parts.log : null_log()),
      prefix_(parts.thread_prefix),
      limits_(parts.vcpus->vcpu_count()) {}

DirtyLimiter::~DirtyLimiter() {
  const MutexLock lock(control_mutex_);
  stop();
}

Result<void> DirtyLimiter::available() const noexcept {
  if (harvester_.counts_vcpus()) return {};
  return Error(ErrorCode::unsupported,
               "dirty limits need a tracker that tells which vCPU wrote: the KVM dirty ring, or "
               "write protection by faults (wp-sync); this machine has " +
                   std::string(harvester_.tracker_name()));
}

Result<void> DirtyLimiter::check_index(std::optional<uint32_t> vcpu) const noexcept {
  const uint32_t count = vcpus_.vcpu_count();
  if (!vcpu || *vcpu < count) return {};
  return Error(
      ErrorCode::invalid_argument,
      "vCPU " + std::to_string(*vcpu) + ": the machine has vCPUs 0.." + std::to_string(count - 1));
}

Result<void> DirtyLimiter::set(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept {
  TERN_TRY(available());
  TERN_TRY(check_index(vcpu));
  const MutexLock lock(control_mutex_);
  if (migrating_) {
    return Error(ErrorCode::failed_precondition, "a migration sets the dirty limits now");
  }
  return apply(vcpu, mib_per_s);
}

Result<void> DirtyLimiter::cancel(std::optional<uint32_t> vcpu) noexcept { return set(vcpu, 0); }

Result<void> DirtyLimiter::begin_migration() noexcept {
  const MutexLock lock(control_mutex_);
  if (migrating_) {
    return Error(ErrorCode::failed_precondition, "another migration sets the dirty limits");
  }
  // That it can be done is known only when it has been begun.
  TERN_TRY(start());
  migrating_ = true;
  return {};
}

Result<void> DirtyLimiter::limit_all(uint64_t mib_per_s, uint32_t period_ms) noexcept {
  const MutexLock lock(control_mutex_);
  {
    const MutexLock inner(mutex_);
    period_ = Milliseconds(period_ms);
  }
  return apply(std::nullopt, mib_per_s);
}

void DirtyLimiter::end_migration() noexcept {
  const MutexLock lock(control_mutex_);
  if (!migrating_) return;
  migrating_ = false;
  stop();
}

Result<void> DirtyLimiter::apply(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept {
  const uint64_t limit = mib_per_s > UINT64_MAX / kMiB ? UINT64_MAX : mib_per_s * kMiB;
  if (limit != 0) TERN_TRY(start());
  {
    const MutexLock lock(mutex_);
    for (uint32_t i = 0; i < limits_.size(); ++i) {
      if (!vcpu || *vcpu == i) limits_[i].quota.set_limit(limit);
    }
    changed_.notify_all();
  }
  if (!needed()) stop();
  return {};
}

bool DirtyLimiter::needed() const noexcept {
  const MutexLock lock(mutex_);
  return migrating_ || std::any_of(limits_.begin(), limits_.end(),
                                   [](const Vcpu& v) { return v.quota.limit() != 0; });
}

Result<void> DirtyLimiter::start() noexcept {
  if (thread_.joinable() && !failed_.load()) return {};
  stop();
  TERN_TRY(available());
  view_ = harvester_.consumer();
  view_->on_failure([this](const Error& why) { fail(why); });
  TERN_TRY(view_->start(ram_).context("dirty limit"));
  {
    const MutexLock lock(mutex_);
    quit_ = false;
    period_ = kDefaultPeriod;
  }
  auto thread = start_thread([this] {
    const auto listed = threads_.enter(prefix_, "mig/dirty-limit");
    run();
  });
  if (!thread) {
    view_->stop().ignore("the error below matters");
    return std::move(thread).error();
  }
  thread_ = std::move(*thread);
  return {};
}

void DirtyLimiter::stop() noexcept {
  {
    const MutexLock lock(mutex_);
    quit_ = true;
    for (Vcpu& v : limits_) v = {};
    changed_.notify_all();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  view_->stop().ignore("nothing depends on it any more");
  view_.reset();
  failed_.store(false);
}

// On another thread, with the harvester's lock held: no call into it from here.
void DirtyLimiter::fail(const Error& why) noexcept {
  if (failed_.exchange(true)) return;
  log_.log(LogLevel::error, "dirty limits are off, tracking failed: " + why.message());
}

void DirtyLimiter::run() noexcept {
  DirtyBitmap scratch(ram_);
  Nanoseconds ticked = system_clock().now();
  Nanoseconds period_began = ticked;
  for (;;) {
    bool harvest = false;
    {
      const MutexLock lock(mutex_);
      if (quit_ || failed_.load()) break;
      const Nanoseconds now = system_clock().now();
      if (!tick(now - ticked)) break;
      ticked = now;
      harvest = now - period_began >= period_;
      if (harvest) {
        end_period(now - period_began);
        period_began = now;
      } else {
        changed_.wait_for(mutex_, DirtyQuota::kTick);
      }
    }
    if (!harvest) continue;
    if (const auto harvested = view_->harvest(scratch); !harvested) {
      fail(harvested.error());
      break;
    }
    for (size_t b = 0; b < scratch.blocks(); ++b) scratch.block(b).clear_run({0, UINT64_MAX});
  }
  for (uint32_t i = 0; i < vcpus_.vcpu_count(); ++i) vcpus_.hold_vcpu(i, Nanoseconds(0));
}

bool DirtyLimiter::tick(Nanoseconds took) noexcept {
  const std::vector<uint64_t> pages = view_->vcpu_dirty_pages();
  if (pages.size() < limits_.size()) return false;
  for (uint32_t i = 0; i < limits_.size(); ++i) {
    Vcpu& v = limits_[i];
    const uint64_t fresh = pages[i] - std::min(v.counted, pages[i]);
    v.counted = pages[i];
    v.period_pages += fresh;
    if (v.quota.limit() == 0) continue;
    const Nanoseconds run = v.quota.next(fresh * kTargetPageBytes, took);
    if (run >= DirtyQuota::kTick) continue;
    // First held, then running: its end needs no other wake-up than its own. One that may not run
    // at all is held until the tick after the next, which comes in time to hold it on.
    const Nanoseconds hold = run.count() == 0 ? 2 * DirtyQuota::kTick : DirtyQuota::kTick - run;
    vcpus_.hold_vcpu(i, hold);
    v.period_held += DirtyQuota::kTick - run;
  }
  return true;
}

void DirtyLimiter::end_period(Nanoseconds took) noexcept {
  for (Vcpu& v : limits_) {
    v.rate = per_second(std::exchange(v.period_pages, 0) * kTargetPageBytes, took);
    const double held = static_cast<double>(std::exchange(v.period_held, Nanoseconds(0)).count());
    v.held = std::min(held / static_cast<double>(took.count()), 0.99);
  }
}

std::vector<VcpuDirtyLimit> DirtyLimiter::query() const noexcept {
  std::vector<VcpuDirtyLimit> limited;
  if (failed_.load()) return limited;
  const MutexLock lock(mutex_);
  for (uint32_t i = 0; i < limits_.size(); ++i) {
    const Vcpu& v = limits_[i];
    if (v.quota.limit() != 0) limited.push_back({i, v.quota.limit() / kMiB, v.rate / kMiB});
  }
  return limited;
}

DirtyLimitFigures DirtyLimiter::figures() const noexcept {
  const MutexLock lock(mutex_);
  uint64_t rates = 0;
  uint64_t dirtying = 0;
  double held = 0;
  for (const Vcpu& v : limits_) {
    rates += v.rate;
    dirtying += v.rate != 0 ? 1 : 0;
    held = std::max(held, v.held);
  }
  DirtyLimitFigures figures;
  figures.held_percent = static_cast<uint32_t>(held * 100 + 0.5);
  if (rates == 0) return figures;
  const double full = static_cast<double>(kRingBytes) * 1e6 * static_cast<double>(dirtying) /
                      static_cast<double>(rates);
  // At the rate as it is, the ring fills in `full`, holds included; of that it is held so long.
  figures.ring_full_time = static_cast<uint64_t>(full);
  figures.throttle_time_per_round = static_cast<uint64_t>(full * held);
  return figures;
}

}  // namespace tern
