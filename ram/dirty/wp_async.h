// SPDX-License-Identifier: Apache-2.0
//
// WpAsyncTracker: pages are write-protected by an asynchronous userfaultfd; the first write to one
// lifts its protection inside the kernel, and PAGEMAP_SCAN tells which lost it and protects them
// again in the same step. No thread serves anything. Linux 6.7.
//
// Untouched memory. The kernel can protect an empty page table entry only by putting a marker into
// it, which costs page tables for the hole (2 MiB per GiB), and afterwards nobody can tell the hole
// from a page that is swapped out: finding holes (ram/holes.h) would find none. So in private
// memory holes are left alone: a hole that was written is present and unprotected, which is what a
// harvest looks for. The one thing lost that way is a page that BECOMES a hole (MADV_DONTNEED: its
// content is now zeros); so what was there once is protected and reported even as a hole. (Not so
// in private mappings of files and in huge pages: there the kernel leaves a marker for a page that
// was protected. mark()'s contract covers it.) Shared memory gets the markers: there an empty entry
// does not mean an empty page, and holes are found by SEEK_DATA.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ram/dirty/marked_pages.h"
#include "ram/dirty/pagemap.h"
#include "ram/dirty/uffd.h"
#include "tern/dirty_tracker.h"

namespace tern {

class WpAsyncTracker final : public DirtyTracker {
 public:
  /// `features`: what the kernel offers (Uffd::probe).
  explicit WpAsyncTracker(uint64_t features) noexcept;
  ~WpAsyncTracker() override;
  WpAsyncTracker(const WpAsyncTracker&) = delete;
  WpAsyncTracker& operator=(const WpAsyncTracker&) = delete;

  std::string_view name() const noexcept override { return "wp-async"; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    marked_.mark(block, offset, bytes);
  }

 private:
  Result<void> protect_block(const RamBlock& block) noexcept;
  /// Unprotected pages of a private block, and whether they were there before or may be a hole.
  struct Candidate {
    PageRun run;
    bool there;
  };
  Result<uint64_t> harvest_private(const RamBlock& block, BlockBitmap& there,
                                   BlockBitmap& into) noexcept;
  /// Splits the run where `there` changes.
  void add_candidates(PageRun run, const BlockBitmap& there) noexcept;
  void add_candidate(Candidate next, const BlockBitmap& there) noexcept;

  const uint64_t features_;
  MarkedPages marked_;
  std::vector<RamBlock> blocks_;
  std::optional<Uffd> uffd_;  ///< has a value exactly while started
  std::optional<Pagemap> pagemap_;
  size_t registered_ = 0;  ///< blocks_[0, this) are registered
  /// Per block: pages of our own that were seen since start. Only for private memory, else empty.
  std::vector<BlockBitmap> there_;
  std::vector<Candidate> candidates_;  ///< scratch of a harvest
};

}  // namespace tern
