// SPDX-License-Identifier: Apache-2.0
//
// The handle of a dirty tracker, and the tracker that an embedder writes in C.
#pragma once

#include <memory>
#include <vector>

#include "migration/capi/callbacks.h"
#include "tern/c/machine.h"
#include "tern/dirty_harvester.h"
#include "tern/dirty_tracker.h"

namespace tern::capi {

/// A tracker with what it needs to live.
struct TrackerParts {
  std::unique_ptr<LogAdapter> log;  // may be empty; outlives the tracker
  std::unique_ptr<DirtyTracker> tracker;
  KvmRingTracker* rings = nullptr;  // `tracker`, if it is one
  /// What migrations and meters of machines with this tracker share.
  std::unique_ptr<DirtyHarvester> harvester;
  /// What tern_tracker_start was given: a tracker keeps the span.
  std::vector<RamBlock> blocks;
};

class CustomTracker final : public DirtyTracker {
 public:
  static Result<std::unique_ptr<CustomTracker>> create(
      const tern_tracker_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }

  std::string_view name() const noexcept override { return name_; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override;
  bool needs_service() const noexcept override { return calls_->run_service != nullptr; }
  Result<void> run_service(std::stop_token stop) noexcept override;

 private:
  explicit CustomTracker(const tern_tracker_callbacks& table) noexcept
      : calls_(table), name_(table.name != nullptr ? table.name : "custom") {}
  Callbacks<tern_tracker_callbacks> calls_;
  std::string name_;
  std::vector<tern_ram_block> blocks_;  // until stop, as the callback was told
};

}  // namespace tern::capi

/// Shared with the machines that use it, so that handles can be freed in any order: the collectors
/// of other languages do not ask for one.
struct tern_tracker {
  std::shared_ptr<tern::capi::TrackerParts> parts;
};
struct tern_stop {
  std::stop_source source;
};
