// SPDX-License-Identifier: Apache-2.0
//
// pmemsave: a range of guest-physical memory into a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern::qmp {

/// Writes [address, address + size) of guest-physical memory to `path`, which is created with mode
/// 0600 or overwritten. The guest may be running; each page is then as it was at some moment. Never
/// waits for a reader of a pipe. Errors: invalid_argument (some part of the range is not RAM; no
/// file is touched), channel (the file).
Result<void> save_physical_memory(std::span<const RamBlock> ram, uint64_t address, uint64_t size,
                                  const std::string& path) noexcept;

}  // namespace tern::qmp
