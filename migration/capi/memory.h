// SPDX-License-Identifier: Apache-2.0
//
// RAM blocks between C and C++, and the handle of a dirty bitmap.
#pragma once

#include <span>
#include <vector>

#include "tern/c/machine.h"
#include "tern/dirty_bitmap.h"
#include "tern/ram_block.h"
#include "tern/result.h"

/// Either lent for one callback or the embedder's own.
struct tern_dirty_bitmap {
  tern::DirtyBitmap own;
  tern::DirtyBitmap* lent = nullptr;

  tern::DirtyBitmap& map() noexcept { return lent != nullptr ? *lent : own; }
  const tern::DirtyBitmap& map() const noexcept { return lent != nullptr ? *lent : own; }
};

namespace tern::capi {

/// Errors: invalid_argument (naming block and reason), unsupported (flags of a newer tern).
Result<std::vector<RamBlock>> read_blocks(const tern_ram_block* blocks, size_t count) noexcept;

/// For a callback; the names belong to `blocks`.
std::vector<tern_ram_block> blocks_for_c(std::span<const RamBlock> blocks) noexcept;

}  // namespace tern::capi
