// SPDX-License-Identifier: Apache-2.0
//
// The kernel's soft-dirty bits (CONFIG_MEM_SOFT_DIRTY): whether there are any, and clearing them.
// Reading them is ProcessMemory's.
#pragma once

#include <cstdint>
#include <string_view>

#include "tern/result.h"
#include "tools/tern/dirty_rate_process.h"

namespace tern::tool {

/// Whether this kernel has the bits. Looked at on a page of our own, as the kernel takes the
/// request to clear them whether or not it has them.
bool kernel_has_soft_dirty() noexcept;

/// Errors: kNotPermitted if the bits may not be cleared. Clears nothing.
Result<void> may_clear_soft_dirty(Process& process) noexcept;

/// Bytes of transparent huge pages in /proc/PID/smaps_rollup: one bit stands for 2 MiB there.
uint64_t huge_bytes(std::string_view smaps_rollup) noexcept;

/// Clears the bits of the whole process: each page it writes next costs it a fault. Returns how
/// long that took. Errors: those of Process, kNotPermitted.
Result<Nanoseconds> clear_soft_dirty(Process& process) noexcept;

}  // namespace tern::tool
