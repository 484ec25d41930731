// SPDX-License-Identifier: Apache-2.0
//
// From samples to a rate: how many different pages were written in an interval, how fast that is,
// and how sure. Pure arithmetic; knows neither pages nor clocks.
#pragma once

#include <cstdint>
#include <span>

#include "tern/clock.h"

namespace tern {

/// Samples that lie side by side. Each stands for the pages of its cell, out of which it was drawn.
struct SampleGroup {
  uint64_t samples = 0;
  uint64_t changed = 0;      ///< samples whose content differs
  uint64_t lost = 0;         ///< samples that could not be looked at: part of `samples`
  double pages = 0;          ///< sum of the cells' pages
  double changed_pages = 0;  ///< the same over the samples that changed
  double lost_pages = 0;
  double spread = 0;  ///< sum of pages * (pages - 1) over the cells: 0 if each page was looked at
  double page_seconds = 0;  ///< sum of pages times the interval between the two looks at the sample
  double pages_per_s = 0;   ///< sum of pages by that interval, over the samples that changed
};

/// A figure and the interval in which the true one lies 95 times of 100.
struct Estimated {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// "Dirty" is a page whose content differs between the two looks.
struct DirtyEstimate {
  uint64_t samples = 0;
  uint64_t changed = 0;
  double pages = 0;  ///< that the samples stand for
  double lost_pages =
      0;  ///< of these, pages that were gone or could not be read: in no other figure
  Estimated dirty_pages;
  Estimated pages_per_s;
  Nanoseconds interval{};  ///< mean

  /// Half the width of the interval as a part of the rate; 0 if all pages were looked at, infinite
  /// if none changed.
  double precision() const noexcept;
};

/// Each sample counts by its own interval, so that the time which looking takes does not matter.
DirtyEstimate estimate_dirty(std::span<const SampleGroup> groups) noexcept;

/// How many samples of `pages` an estimate needs for this precision(), if `part` of the pages is
/// dirty. At least 1, at most `pages`.
uint64_t samples_for(double precision, double part, uint64_t pages) noexcept;

}  // namespace tern
