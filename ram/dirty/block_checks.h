// SPDX-License-Identifier: Apache-2.0
//
// Whether what an embedder says of its RAM blocks can be true. Trackers and the hole finder ask
// before they rely on it.
#pragma once

#include <span>

#include "tern/dirty_bitmap.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

/// Errors: invalid_argument naming the block whose address or length is not a multiple of its page,
/// or that is empty.
Result<void> check_blocks(std::span<const RamBlock> blocks) noexcept;

/// Errors: invalid_argument naming the block that is mapped shared but said to be private, or the
/// other way round. Where it would go unnoticed, writes would: page tables tell everything of
/// private memory, and little of shared memory. Without /proc nothing is checked.
Result<void> check_sharing(std::span<const RamBlock> blocks) noexcept;

/// Errors: invalid_argument if `into` was made for other blocks.
Result<void> check_shape(std::span<const RamBlock> blocks, const DirtyBitmap& into) noexcept;

}  // namespace tern
