// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/dirty_limits.h"

#include <algorithm>
#include <utility>

#include "base/per_second.h"
#include "tern/ram_block.h"

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kRingBytes = 4096ull * kTargetPageBytes;

}  // namespace

void DirtyLimits::set(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept {
  const uint64_t limit = mib_per_s > UINT64_MAX / kMiB ? UINT64_MAX : mib_per_s * kMiB;
  for (uint32_t i = 0; i < vcpus_.size(); ++i) {
    if (!vcpu || *vcpu == i) vcpus_[i].quota.set_limit(limit);
  }
}

bool DirtyLimits::any() const noexcept {
  return std::ranges::any_of(vcpus_, [](const Vcpu& v) { return v.quota.limit() != 0; });
}

void DirtyLimits::clear() noexcept { std::ranges::fill(vcpus_, Vcpu{}); }

std::vector<DirtyLimits::Hold> DirtyLimits::tick(std::span<const uint64_t> pages,
                                                 Nanoseconds took) noexcept {
  std::vector<Hold> holds;
  for (uint32_t i = 0; i < vcpus_.size(); ++i) {
    Vcpu& v = vcpus_[i];
    const uint64_t fresh = pages[i] - std::min(v.counted, pages[i]);
    v.counted = pages[i];
    v.period_pages += fresh;
    if (v.quota.limit() == 0) continue;
    const Nanoseconds run = v.quota.next(fresh * kTargetPageBytes, took);
    if (run >= DirtyQuota::kTick) continue;
    // First held, then running: its end needs no other wake-up than its own. One that may not run
    // at all is held until the tick after the next, which comes in time to hold it on.
    holds.push_back(
        {i, run.count() == 0 ? 2 * DirtyQuota::kTick : Nanoseconds(DirtyQuota::kTick - run)});
    v.period_held += DirtyQuota::kTick - run;
  }
  return holds;
}

void DirtyLimits::end_period(Nanoseconds took) noexcept {
  if (took.count() <= 0) return;
  for (Vcpu& v : vcpus_) {
    v.rate = per_second(std::exchange(v.period_pages, 0) * kTargetPageBytes, took);
    const double held = static_cast<double>(std::exchange(v.period_held, Nanoseconds(0)).count());
    v.held = std::min(held / static_cast<double>(took.count()), 0.99);
  }
}

std::vector<VcpuDirtyLimit> DirtyLimits::query() const noexcept {
  std::vector<VcpuDirtyLimit> limited;
  for (uint32_t i = 0; i < vcpus_.size(); ++i) {
    const Vcpu& v = vcpus_[i];
    if (v.quota.limit() != 0) limited.push_back({i, v.quota.limit() / kMiB, v.rate / kMiB});
  }
  return limited;
}

DirtyLimitFigures DirtyLimits::figures() const noexcept {
  uint64_t rates = 0;
  uint64_t dirtying = 0;
  double held = 0;
  for (const Vcpu& v : vcpus_) {
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
