// SPDX-License-Identifier: Apache-2.0
//
// The limits of all vCPUs and what is known of each: how fast it dirties, how long it was held.
// Pure: counts and time come in, holds come out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "migration/policy/dirty_quota.h"
#include "tern/dirty_limit.h"

namespace tern {

class DirtyLimits {
 public:
  explicit DirtyLimits(uint32_t vcpus) noexcept : vcpus_(vcpus) {}

  uint32_t vcpus() const noexcept { return static_cast<uint32_t>(vcpus_.size()); }
  /// MiB/s, of one vCPU or of all; 0: none.
  void set(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept;
  bool any() const noexcept;
  /// No limits, and nothing known.
  void clear() noexcept;

  /// A vCPU that is held for so long from now on.
  struct Hold {
    uint32_t vcpu = 0;
    Nanoseconds time{0};
  };
  /// A tick is over, which took `took`; `pages` is what each vCPU dirtied ever, one for each.
  std::vector<Hold> tick(std::span<const uint64_t> pages, Nanoseconds took) noexcept;
  /// A period is over: figures are those of it.
  void end_period(Nanoseconds took) noexcept;

  /// Those that have a limit.
  std::vector<VcpuDirtyLimit> query() const noexcept;
  DirtyLimitFigures figures() const noexcept;

 private:
  struct Vcpu {
    DirtyQuota quota;
    uint64_t counted = 0;       // pages, at the last tick
    uint64_t period_pages = 0;  // in the present period
    Nanoseconds period_held{0};
    uint64_t rate = 0;  // bytes/s of the last period
    double held = 0;    // share of it that it was held
  };

  std::vector<Vcpu> vcpus_;
};

}  // namespace tern
