// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_pages.h"

#include <algorithm>

#include "tern/ram_block.h"

namespace tern::tool {

void PageRuns::add(uint64_t start, uint64_t end) noexcept {
  if (!runs_.empty()) start = std::max(start, runs_.back().end);
  if (start >= end) return;
  if (!runs_.empty() && runs_.back().end == start) {
    runs_.back().end = end;
  } else {
    runs_.push_back({start, end});
    firsts_.push_back(pages_);
  }
  pages_ += (end - start) / kTargetPageBytes;
}

uint64_t PageRuns::address(uint64_t page) const noexcept {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), page);
  const auto run = static_cast<size_t>(after - firsts_.begin()) - 1;
  return runs_[run].start + (page - firsts_[run]) * kTargetPageBytes;
}

// The first run that ends behind the address.
size_t PageRuns::run_behind(uint64_t address) const noexcept {
  const auto run = std::partition_point(runs_.begin(), runs_.end(),
                                        [&](const PageRun& r) { return r.end <= address; });
  return static_cast<size_t>(run - runs_.begin());
}

uint64_t PageRuns::number(uint64_t address) const noexcept {
  const size_t run = run_behind(address);
  if (run == runs_.size()) return pages_;
  if (address <= runs_[run].start) return firsts_[run];
  return firsts_[run] + (address - runs_[run].start) / kTargetPageBytes;
}

bool PageRuns::contains(uint64_t address) const noexcept {
  const size_t run = run_behind(address);
  return run < runs_.size() && runs_[run].start <= address;
}

PageRuns PageRuns::without(const PageRuns& other) const noexcept {
  PageRuns left;
  size_t at = 0;
  for (const PageRun& run : runs_) {
    uint64_t from = run.start;
    while (at < other.runs_.size() && other.runs_[at].end <= from) ++at;
    for (size_t i = at; i < other.runs_.size() && other.runs_[i].start < run.end; ++i) {
      left.add(from, std::min(run.end, other.runs_[i].start));
      from = std::max(from, other.runs_[i].end);
    }
    left.add(from, run.end);
  }
  return left;
}

PageRuns PageRuns::with(const PageRuns& other) const noexcept {
  PageRuns both;
  size_t at = 0;
  for (const PageRun& run : runs_) {
    for (; at < other.runs_.size() && other.runs_[at].start < run.start; ++at) {
      both.add(other.runs_[at].start, other.runs_[at].end);
    }
    both.add(run.start, run.end);
  }
  for (; at < other.runs_.size(); ++at) both.add(other.runs_[at].start, other.runs_[at].end);
  return both;
}

}  // namespace tern::tool
