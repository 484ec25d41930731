// SPDX-License-Identifier: Apache-2.0
//
// RamTarget: the guest memory that an incoming migration fills, as all its channels see it: which
// blocks the source listed, and which pages may hold something already. Places nothing by itself
// but zeros.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ram/guest_memory.h"
#include "ram/page_set.h"
#include "ram/simd/page_ops.h"

namespace tern {

/// Thread rules: list() on the main channel's thread before any other is let through (the first
/// barrier); the rest from any thread.
class RamTarget {
 public:
  /// `maybe_nonzero`: pages that may hold something already (find_populated); zero records for the
  /// others cost no memory.
  RamTarget(const GuestMemory& memory, const DirtyBitmap& maybe_nonzero,
            const PageOps& ops) noexcept
      : memory_(memory), ops_(ops), maybe_nonzero_(maybe_nonzero), listed_(memory.count(), 0) {}

  const GuestMemory& memory() const noexcept { return memory_; }
  void list(size_t block) noexcept { listed_[block] = 1; }
  bool is_listed(size_t block) const noexcept { return listed_[block] != 0; }
  /// A block that the source may send pages for.
  std::optional<size_t> find_listed(std::string_view name) const noexcept {
    const auto block = memory_.find(name);
    return block && is_listed(*block) ? block : std::nullopt;
  }

  /// Data is about to be placed there. Where nothing was, and the run is long enough, all its page
  /// tables are filled by one call: finding out page by page that there is none costs as much as
  /// the copy (measured: half of a destination's time).
  void prepare(size_t block, PageRun run) noexcept;
  /// The pages hold data now.
  void mark(size_t block, PageRun run) noexcept { maybe_nonzero_.add(block, run); }
  /// Whether the page may hold anything.
  bool is_marked(size_t block, uint64_t page) const noexcept {
    return maybe_nonzero_.contains(block, page);
  }
  /// A page that never held anything is zero: not touching it keeps it out of memory.
  void zero_page(size_t block, uint64_t page) noexcept;
  /// The same for many; costs little where nothing was.
  void zero_run(size_t block, PageRun run) noexcept;

 private:
  const GuestMemory& memory_;
  const PageOps& ops_;
  PageSet maybe_nonzero_;
  std::vector<uint8_t> listed_;
  std::atomic<bool> can_populate_{true};
};

}  // namespace tern
