// SPDX-License-Identifier: Apache-2.0
//
// GuestMemory: the machine's RAM blocks as pages. The only place that turns (block, page) into a
// pointer. Guest memory changes under us: what is read from it twice may differ, so nothing that
// was checked may be read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

class GuestMemory {
 public:
  /// Checks the blocks: names 1..255 bytes and unique, addresses and lengths whole pages, not
  /// empty, at most 65536. The blocks are referenced, not copied. Errors: invalid_argument naming
  /// the block.
  static Result<GuestMemory> create(std::span<const RamBlock> blocks) noexcept;

  std::span<const RamBlock> blocks() const noexcept { return blocks_; }
  size_t count() const noexcept { return blocks_.size(); }
  uint64_t total_bytes() const noexcept { return total_; }
  uint64_t pages(size_t block) const noexcept {
    return blocks_[block].used_bytes / kTargetPageBytes;
  }
  std::optional<size_t> find(std::string_view idstr) const noexcept;
  std::byte* page(size_t block, uint64_t page) const noexcept {
    return blocks_[block].host + page * kTargetPageBytes;
  }

 private:
  explicit GuestMemory(std::span<const RamBlock> blocks) noexcept : blocks_(blocks) {}
  std::span<const RamBlock> blocks_;
  uint64_t total_ = 0;
};

}  // namespace tern
