// SPDX-License-Identifier: Apache-2.0
//
// PageRuns: a set of pages of an address space as runs, in which the n-th page is found fast, and
// what one set has that another has not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tern::tool {

struct PageRun {
  uint64_t start = 0;  ///< address
  uint64_t end = 0;
  bool operator==(const PageRun&) const = default;
};

class PageRuns {
 public:
  /// Runs come in ascending order; those that touch become one. A run that begins before the last
  /// one's end counts from there.
  void add(uint64_t start, uint64_t end) noexcept;

  uint64_t pages() const noexcept { return pages_; }
  const std::vector<PageRun>& runs() const noexcept { return runs_; }
  /// Address of the page with this number (< pages()).
  uint64_t address(uint64_t page) const noexcept;
  /// The number of the page at this address, or of the next one behind it.
  uint64_t number(uint64_t address) const noexcept;
  bool contains(uint64_t address) const noexcept;

  /// Pages of this set that are not in `other`.
  PageRuns without(const PageRuns& other) const noexcept;
  /// Pages of either.
  PageRuns with(const PageRuns& other) const noexcept;

 private:
  size_t run_behind(uint64_t address) const noexcept;

  std::vector<PageRun> runs_;
  std::vector<uint64_t> firsts_;  // number of the first page of each run
  uint64_t pages_ = 0;
};

}  // namespace tern::tool
