// SPDX-License-Identifier: Apache-2.0
//
// Which pages of RAM were never touched, found without touching them. The public function is
// find_populated (tern/dirty_tracker.h); this header shows its choices to tests and benchmarks.
// Knows page tables and files, not who asks.
//
// Call it AFTER the dirty tracker was started: a hole that is filled before is found populated, one
// that is filled later is found dirty. (The trackers leave the holes of private anonymous memory as
// they are for this purpose.)
//
// What the answer rests on, per block:
//
// private anonymous memory: the page tables. An empty entry is zeros; so is the page of zeros that
// reads map (PAGEMAP_SCAN can tell, reading /proc/self/pagemap counts it as populated).
//
// shared memory with a descriptor: SEEK_DATA and SEEK_HOLE. An empty entry says nothing there.
//
// a private mapping of a file: the data of the file and the page tables, both.
//
// huge pages (hugetlbfs knows no SEEK_DATA): private ones by mincore(2); shared ones by the page
// tables, if they have as many as the file says it has.
//
// shared memory without a descriptor: everything.
#pragma once

#include <string_view>

#include "tern/dirty_bitmap.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

/// How page tables are looked at.
enum class PageTableMethod { scan, read };

/// find_populated with the method given. `method` scan needs PAGEMAP_SCAN (errors: unsupported).
/// Returns the name of what was used: "pagemap-scan", "pagemap", "seek-data", "all", or "mixed"
/// where blocks differ.
Result<std::string_view> find_populated_by(PageTableMethod method, std::span<const RamBlock> blocks,
                                           DirtyBitmap& into) noexcept;

}  // namespace tern
