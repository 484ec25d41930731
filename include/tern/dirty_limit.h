// SPDX-License-Identifier: Apache-2.0
//
// Limits for how fast vCPUs dirty RAM: QEMU's set-vcpu-dirty-limit, and what the migration
// capability dirty-limit uses. Each vCPU over its limit is held back on its own; the others are
// left alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/dirty_harvester.h"
#include "tern/log.h"
#include "tern/ram_block.h"
#include "tern/result.h"
#include "tern/thread_info.h"
#include "tern/vcpu_control.h"
#include "tern/version.h"

namespace tern {

/// A vCPU with a limit.
struct VcpuDirtyLimit {
  uint32_t vcpu = 0;
  uint64_t limit_rate = 0;    ///< MiB/s
  uint64_t current_rate = 0;  ///< MiB/s that it dirtied in the last period
};

/// What limiting does, in the terms of QEMU, where a vCPU sleeps when its dirty ring is full.
struct DirtyLimitFigures {
  /// µs in which a ring of 4096 pages (16 MiB) fills at the mean rate of the vCPUs that dirty
  /// anything; 0 if none does.
  uint64_t ring_full_time = 0;
  /// µs that the vCPU that is held back most would sleep for each such ring to the same effect.
  uint64_t throttle_time_per_round = 0;
  /// For how much of the last period that vCPU was held, percent.
  uint32_t held_percent = 0;
};

/// Thread rules: any thread. While any vCPU has a limit it runs a thread ("mig/dirty-limit") and
/// the tracker.
class TERN_API DirtyLimit {
 public:
  struct Parts {
    DirtyHarvester* harvester = nullptr;  ///< required
    VcpuControl* vcpus = nullptr;         ///< required, with vcpu_count() > 0
    std::span<const RamBlock> ram;
    LogSink* log = nullptr;       ///< optional
    std::string thread_prefix{};  ///< put before the thread's name
  };
  /// Everything pointed to outlives it. Errors: invalid_argument.
  static Result<std::unique_ptr<DirtyLimit>> create(const Parts& parts) noexcept;
  /// Releases every vCPU.
  virtual ~DirtyLimit() = default;

  /// Whether the tracker can tell which vCPU wrote. Errors: unsupported.
  virtual Result<void> available() const noexcept = 0;
  /// From now on vCPU `vcpu` (all of them without one) dirties at most so many MiB/s; 0 takes the
  /// limit away. Errors: unsupported (the tracker cannot tell which vCPU wrote: a KVM dirty ring
  /// can, and write protection by faults can), invalid_argument (no such vCPU),
  /// failed_precondition (a migration sets the limits), resource_exhausted, and those of the
  /// tracker.
  virtual Result<void> set(std::optional<uint32_t> vcpu, uint64_t mib_per_s) noexcept = 0;
  /// Takes the limits away. Errors: invalid_argument, failed_precondition, as above.
  virtual Result<void> cancel(std::optional<uint32_t> vcpu) noexcept = 0;
  /// The vCPUs that have a limit.
  virtual std::vector<VcpuDirtyLimit> query() const noexcept = 0;
  virtual DirtyLimitFigures figures() const noexcept = 0;
  virtual std::vector<ThreadInfo> threads() const noexcept = 0;

  // ---- for the migration that uses it, one at a time
  /// All limits are the migration's from here on: nobody else can set them. Errors: unsupported,
  /// failed_precondition (another migration).
  virtual Result<void> begin_migration() noexcept = 0;
  /// The limit of every vCPU, and how often rates are measured, ms.
  virtual Result<void> limit_all(uint64_t mib_per_s, uint32_t period_ms) noexcept = 0;
  /// Every vCPU is free again, but for limits that were set before the migration. Idempotent.
  virtual void end_migration() noexcept = 0;
};

}  // namespace tern
