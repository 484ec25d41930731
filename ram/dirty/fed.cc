// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/fed.h"

#include "ram/dirty/block_checks.h"

namespace tern {

// Trackers without a fault handler have nothing to serve.
Result<void> DirtyTracker::run_service(std::stop_token) noexcept { return {}; }

// Most trackers do not see threads.
void DirtyTracker::set_vcpu_threads(std::span<const int>) noexcept {}

Result<void> FedTracker::start(std::span<const RamBlock> blocks) noexcept {
  if (started_) return Error(ErrorCode::failed_precondition, "fed tracker: already started");
  TERN_TRY(check_blocks(blocks).context("fed tracker"));
  marked_.start(blocks);
  blocks_.assign(blocks.begin(), blocks.end());
  started_ = true;
  return {};
}

Result<uint64_t> FedTracker::harvest(DirtyBitmap& into) noexcept {
  if (!started_) return Error(ErrorCode::failed_precondition, "fed tracker: not started");
  TERN_TRY(check_shape(blocks_, into).context("fed tracker"));
  return marked_.harvest(into);
}

Result<void> FedTracker::stop() noexcept {
  marked_.stop();
  blocks_.clear();
  started_ = false;
  return {};
}

std::unique_ptr<DirtyTracker> make_fed_tracker() noexcept { return std::make_unique<FedTracker>(); }

}  // namespace tern
