// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/dirty_limiter.h"

#include <utility>

#include "migration/source/start_thread.h"

namespace tern {
namespace {

constexpr Nanoseconds kDefaultPeriod = Milliseconds(1000);

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
  std::vector<VcpuDirtyLimit> before = query();
  // That it can be done is known only when it has been begun.
  TERN_TRY(start());
  migrating_ = true;
  before_ = std::move(before);
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
  for (const VcpuDirtyLimit& limit : std::exchange(before_, {})) {
    const auto again = apply(limit.vcpu, limit.limit_rate);
    if (again) continue;
    log_.log(LogLevel::warning,
             "the dirty limit of vCPU " + std::to_string(limit.vcpu) +
                 " from before the migration is gone: " + again.error().message());
  }
}

Result<void> DirtyLimiter::apply(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept {
  if (mib_per_s != 0) TERN_TRY(start());
  {
    const MutexLock lock(mutex_);
    limits_.set(vcpu, mib_per_s);
    changed_.notify_all();
  }
  if (!needed()) stop();
  return {};
}

bool DirtyLimiter::needed() const noexcept {
  const MutexLock lock(mutex_);
  return migrating_ || limits_.any();
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
    limits_.clear();
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
        limits_.end_period(now - period_began);
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
  if (pages.size() < limits_.vcpus()) return false;
  for (const auto& [vcpu, time] : limits_.tick(pages, took)) vcpus_.hold_vcpu(vcpu, time);
  return true;
}

std::vector<VcpuDirtyLimit> DirtyLimiter::query() const noexcept {
  if (failed_.load()) return {};
  const MutexLock lock(mutex_);
  return limits_.query();
}

DirtyLimitFigures DirtyLimiter::figures() const noexcept {
  const MutexLock lock(mutex_);
  return limits_.figures();
}

}  // namespace tern
