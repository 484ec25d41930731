// SPDX-License-Identifier: Apache-2.0
//
// Mappings of the benchmark's own processes, and what they ask of the machine. Errors end the
// program: it does one thing and its caller reads the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tern::bench {

/// Prints the reason with errno, ends with 1.
[[noreturn]] void fail(const std::string& what);

struct Mapping {
  std::byte* start = nullptr;
  uint64_t bytes = 0;
};

/// RAM as a fresh destination has it: private and anonymous.
Mapping map_anonymous(uint64_t bytes, bool transparent_huge_pages);
/// A content file as a source has it: shared.
Mapping map_file(const std::string& path, uint64_t bytes);
/// All pages are there afterwards; what they hold stays.
void populate(const Mapping& mapping);

struct Extent {
  uint64_t start = 0;
  uint64_t bytes = 0;
};
/// The first `bytes` bytes of data in a file, without its holes, in pieces of at most `piece`.
std::vector<Extent> data_extents(const std::string& path, uint64_t bytes, uint64_t piece);

/// CPU time of this process in seconds, all threads.
double cpu_seconds();
/// Monotonic time in seconds.
double now();

}  // namespace tern::bench
