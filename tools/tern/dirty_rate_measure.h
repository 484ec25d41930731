// SPDX-License-Identifier: Apache-2.0
//
// One measurement of a process: the set of pages that were written after each of some growing
// windows, all in one run. Knows when to look and what to make of it; not what is printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ram/measure/dirty_estimate.h"
#include "tools/tern/dirty_rate_memory.h"

namespace tern::tool {

enum class RateMode { automatic, page_sampling, soft_dirty };
std::string_view to_string(RateMode mode) noexcept;

struct MeasureOptions {
  std::vector<Nanoseconds> windows;  ///< ascending
  double precision = 0.05;           ///< wanted half width of the interval, as a part of the rate
  uint64_t samples = 0;              ///< 0: as many as the precision needs
  uint64_t samples_per_gib = 0;      ///< or this many of each GiB that exists, as QEMU counts
  uint64_t max_samples = 262144;     ///< 1 GiB to read per look
  uint64_t seed = 0;
};

/// After one window. All figures are pages of 4 KiB.
struct WindowResult {
  Nanoseconds window{};     ///< that was asked for
  Nanoseconds interval{};   ///< between the looks, mean
  Estimated dirty_pages;    ///< the set of pages that were written
  Estimated pages_per_s;    ///< the same per time
  uint64_t new_pages = 0;   ///< of these, pages that did not exist before
  uint64_t left_pages = 0;  ///< unmapped, given back or swapped out: not in the set
  uint64_t looks = 0;       ///< samples that were looked at
};

/// A piece of memory and what was written in it until the last window.
struct HotRegion {
  uint64_t start = 0;
  uint64_t end = 0;
  std::string name;
  double pages = 0;
  double dirty_pages = 0;
};

struct Cost {
  Nanoseconds cpu{};  ///< of this program, user and system
  Nanoseconds wall{};
  Nanoseconds clearing{};   ///< soft-dirty: while the process could not change its memory map
  uint64_t bytes_read = 0;  ///< out of the process
  uint64_t pages_hashed = 0;
  uint64_t peak_bytes = 0;  ///< memory of this program, the largest so far
};

struct Measurement {
  RateMode mode = RateMode::page_sampling;
  Nanoseconds started{};  ///< since the Unix epoch
  std::vector<WindowResult> windows;
  std::vector<HotRegion> regions;  ///< by address; those with pages
  uint64_t samples = 0;
  uint64_t populated_pages = 0;
  uint64_t mapped_bytes = 0;
  uint64_t swapped_pages = 0;
  size_t mappings = 0;  ///< that are measured
  size_t all_mappings = 0;
  Cost cost;
  std::vector<std::string> notes;  ///< what the figures do not show
  // What ended it before its last window; `windows` are those that were finished by then.
  bool stopped = false;          ///< the user
  std::optional<Error> failure;  ///< the process; there is at least one window then
};

/// What can be used on this process and why: mode is never automatic.
struct ModeChoice {
  RateMode mode = RateMode::page_sampling;
  std::string why;
};
/// Errors: kNotAvailable, kNotPermitted for soft-dirty that cannot be had.
Result<ModeChoice> choose_mode(RateMode wanted, ProcessMemory& memory) noexcept;

/// How pages were written before: what the next measurement takes for granted.
struct Expectation {
  std::optional<double> dirty_part;
};

/// `stop` is a descriptor that becomes readable when the user wants to end. Errors: those of
/// ProcessMemory, unless a window was finished.
Result<Measurement> measure(Process& process, const MappingChoice& choice, RateMode mode,
                            const MeasureOptions& options, Expectation& expectation,
                            int stop) noexcept;

}  // namespace tern::tool
