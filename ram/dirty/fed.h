// SPDX-License-Identifier: Apache-2.0
//
// FedTracker: a tracker that looks at nothing and reports what mark() told it, for an embedder that
// tracks writes by means of its own.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ram/dirty/marked_pages.h"
#include "tern/dirty_tracker.h"

namespace tern {

class FedTracker final : public DirtyTracker {
 public:
  std::string_view name() const noexcept override { return "fed"; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    marked_.mark(block, offset, bytes);
  }

 private:
  MarkedPages marked_;
  std::vector<RamBlock> blocks_;
  bool started_ = false;
};

}  // namespace tern
