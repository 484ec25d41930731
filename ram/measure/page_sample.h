// SPDX-License-Identifier: Apache-2.0
//
// PageSample: pages chosen out of blocks of memory, what they held, and which of them hold
// something else later. Finds a dirty rate without any tracking: writes cost nothing, and only what
// is sampled is read. A write that leaves the old content is not seen; a page that was written many
// times counts once.
//
// Knows neither guests nor processes: pages are looked at through a PageLooker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ram/measure/dirty_estimate.h"
#include "tern/clock.h"
#include "tern/result.h"

namespace tern {

/// One page at one moment.
struct PageLook {
  uint64_t hash = 0;  ///< hash_page()
  bool seen = false;  ///< false: gone, or reading it would change something
};

/// Who has the memory implements this.
class PageLooker {
 public:
  virtual ~PageLooker() = default;
  /// Sets looks[i] for pages[i] of the block; `pages` ascends, both have the same length, at most
  /// PageSample::kPartPages. An error ends the measurement.
  virtual Result<void> look(size_t block, std::span<const uint64_t> pages,
                            std::span<PageLook> looks) noexcept = 0;
};

/// One thread.
class PageSample {
 public:
  /// Pages that are looked at in one go: their interval is one.
  static constexpr size_t kPartPages = 512;
  /// A sample of so many pages takes about a gigabyte of memory.
  static constexpr uint64_t kMaxSamples = uint64_t{1} << 26;

  /// Chooses `count` pages of all blocks (all pages if there are not as many), no page twice. The
  /// memory is cut into `count` cells of the same size, and one page of each is drawn, so that
  /// every region has its share. The same seed chooses the same pages.
  /// block_pages: the pages of each block. Errors: invalid_argument (more than
  /// kMaxSamples).
  static Result<PageSample> choose(std::span<const uint64_t> block_pages, uint64_t count,
                                   uint64_t seed) noexcept;
  /// `sample-pages` of calc-dirty-rate: how many that is for this many pages.
  static uint64_t count_per_gib(uint64_t pages, uint64_t per_gib) noexcept;

  /// The first look at all, and a later one. compare() may be called again: a page that was found
  /// changed stays changed. One that was gone at an earlier look and is back counts by what it
  /// holds now; one that was gone at the first look and came has been written. Errors: those of the
  /// looker.
  Result<void> remember(PageLooker& looker, const Clock& clock) noexcept;
  Result<DirtyEstimate> compare(PageLooker& looker, const Clock& clock) noexcept;

  /// The same in parts, so that a large sample is not looked at in one long go (look_plan.h). Each
  /// part is strewn over all of the memory: were it a piece, a guest that writes its memory in
  /// order would run with the looks or against them, and seem faster or slower than it is.
  size_t parts() const noexcept { return (pages_.size() + kPartPages - 1) / kPartPages; }
  Result<void> remember_part(size_t part, PageLooker& looker, const Clock& clock) noexcept;
  /// window: 0 for the shortest; a part's windows come in their order, at most kMaxWindows.
  Result<void> compare_part(size_t part, size_t window, PageLooker& looker,
                            const Clock& clock) noexcept;
  static constexpr size_t kMaxWindows = 10000;
  /// What the parts that were compared for this window say.
  DirtyEstimate estimate(size_t window) const noexcept;

  enum class State : uint8_t { same, changed, lost };
  struct Sample {
    size_t block;
    uint64_t page;
    uint64_t stands_for;  ///< pages
    State state;          ///< after the window
  };
  uint64_t size() const noexcept { return pages_.size(); }
  /// All pages of all blocks.
  uint64_t population() const noexcept { return starts_.back(); }
  /// index < size(); ascending by block and page. After the last look unless a window is named.
  Sample sample(uint64_t index, size_t window = kMaxWindows) const noexcept;

 private:
  static constexpr uint16_t kNever = UINT16_MAX;
  struct Found {
    bool remembered = false;    // it was there at the first look
    uint16_t changed = kNever;  // the window it was first found changed in
  };
  State state_after(uint64_t index, size_t window) const noexcept;
  PageSample() = default;
  /// The sample with this number in a part.
  uint64_t index_of(size_t part, size_t number) const noexcept { return part + number * parts(); }
  size_t part_pages(size_t part) const noexcept;
  Result<Nanoseconds> look(size_t part, PageLooker& looker, const Clock& clock,
                           std::span<PageLook> looks) const noexcept;
  size_t block_of(uint64_t page) const noexcept;
  uint64_t cell_pages(uint64_t index) const noexcept;
  void add_to(SampleGroup& group, uint64_t index, size_t window) const noexcept;

  std::vector<uint64_t> starts_;  // of each block among all pages, and the end
  std::vector<uint64_t> pages_;   // by their number among all pages, ascending
  std::vector<uint64_t> hashes_;
  std::vector<Found> found_;
  std::vector<Nanoseconds> remembered_;             // by part
  std::vector<std::vector<Nanoseconds>> compared_;  // by window and part
  std::vector<std::vector<bool>> lost_;             // by window and sample; empty: none
};

}  // namespace tern
