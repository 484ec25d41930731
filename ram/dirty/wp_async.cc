// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/wp_async.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "ram/dirty/block_checks.h"

namespace tern {
namespace {

constexpr PageFilter kWritten{.all_of = kPageWritten};
/// In private memory: pages of our own. A page of the file below (kPageFile) becomes ours at its
/// first write.
constexpr PageFilter kWrittenAndOurs{
    .all_of = kPageWritten, .any_of = kPagePresent | kPageSwapped, .none_of = kPageFile};

/// Candidates are looked at in one call if no more clean pages than this lie between them: they
/// cost about a nanosecond each, the call a microsecond.
constexpr uint64_t kMergePages = 1024;

MemoryRange range_of(const RamBlock& block) noexcept { return {block.host, block.used_bytes}; }

PageRun pages_of(uint64_t offset, uint64_t bytes) noexcept {
  return {offset / kTargetPageBytes, bytes / kTargetPageBytes};
}

}  // namespace

WpAsyncTracker::WpAsyncTracker(uint64_t features) noexcept : features_(features) {}

WpAsyncTracker::~WpAsyncTracker() { stop().ignore("closing the descriptor lifts all protection"); }

Result<void> WpAsyncTracker::start(std::span<const RamBlock> blocks) noexcept {
  if (uffd_) return Error(ErrorCode::failed_precondition, "wp-async: already started");
  TERN_TRY(check_blocks(blocks).context("wp-async"));
  TERN_TRY(check_sharing(blocks).context("wp-async"));
  Pagemap pagemap = TERN_TRY(Pagemap::open().context("wp-async"));
  const uint64_t wanted = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                          kUffdFeatureWpUnpopulated | kUffdFeatureWpAsync;
  Uffd uffd = TERN_TRY(Uffd::open(wanted & features_).context("wp-async"));

  blocks_.assign(blocks.begin(), blocks.end());
  pagemap_.emplace(std::move(pagemap));
  uffd_.emplace(std::move(uffd));
  marked_.start(blocks);
  for (const RamBlock& block : blocks) {
    Result<void> protected_now = protect_block(block);
    if (protected_now) continue;
    stop().ignore("the error that matters is the one that made us stop");
    return std::move(protected_now).context("wp-async: RAM block " + block.idstr);
  }
  return {};
}

Result<void> WpAsyncTracker::protect_block(const RamBlock& block) noexcept {
  TERN_TRY(uffd_->add(range_of(block), UFFDIO_REGISTER_MODE_WP));
  ++registered_;
  there_.emplace_back();
  if (block.shared) return uffd_->write_protect(range_of(block), true);
  BlockBitmap there(block.used_bytes / kTargetPageBytes);
  TERN_TRY(pagemap_->scan(
      range_of(block), kWrittenAndOurs, Pagemap::Protect::yes,
      [&](uint64_t offset, uint64_t bytes) { there.set_run(pages_of(offset, bytes)); }));
  there_.back() = std::move(there);
  return {};
}

Result<uint64_t> WpAsyncTracker::harvest(DirtyBitmap& into) noexcept {
  if (!uffd_) return Error(ErrorCode::failed_precondition, "wp-async: not started");
  TERN_TRY(check_shape(blocks_, into).context("wp-async"));
  uint64_t added = marked_.harvest(into);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const RamBlock& block = blocks_[i];
    BlockBitmap& map = into.block(i);
    Result<uint64_t> fresh = 0;
    if (!block.shared) {
      fresh = harvest_private(block, there_[i], map);
    } else {
      uint64_t count = 0;
      Result<void> scanned = pagemap_->scan(
          range_of(block), kWritten, Pagemap::Protect::yes,
          [&](uint64_t offset, uint64_t bytes) { count += map.set_run(pages_of(offset, bytes)); });
      if (scanned) {
        fresh = count;
      } else {
        fresh = std::move(scanned).error();
      }
    }
    // EPERM: the range is no longer ours (mapped anew, or the registration is gone). Never "nothing
    // dirty".
    added += TERN_TRY(std::move(fresh).context("wp-async: RAM block " + block.idstr));
  }
  return added;
}

// The kernel answers a scan for kPageWritten alone twenty times faster than any other (0.3 ms per
// clean GiB), but it also finds every hole, and would put markers there if it protected. So the
// first scan only finds. Then memory that was there before is protected by the fast scan (a page
// that became a hole is reported, as it must be), and only the rest is asked for pages of our own.
Result<uint64_t> WpAsyncTracker::harvest_private(const RamBlock& block, BlockBitmap& there,
                                                 BlockBitmap& into) noexcept {
  candidates_.clear();
  TERN_TRY(pagemap_->scan(
      range_of(block), kWritten, Pagemap::Protect::no,
      [&](uint64_t offset, uint64_t bytes) { add_candidates(pages_of(offset, bytes), there); }));
  uint64_t added = 0;
  for (const Candidate& candidate : candidates_) {
    const PageRun& run = candidate.run;
    const MemoryRange range{block.host + run.first * kTargetPageBytes,
                            run.count * kTargetPageBytes};
    TERN_TRY(pagemap_->scan(range, candidate.there ? kWritten : kWrittenAndOurs,
                            Pagemap::Protect::yes, [&](uint64_t offset, uint64_t bytes) {
                              PageRun found = pages_of(offset, bytes);
                              found.first += run.first;
                              added += into.set_run(found);
                              if (!candidate.there) there.set_run(found);
                            }));
  }
  return added;
}

void WpAsyncTracker::add_candidates(PageRun run, const BlockBitmap& there) noexcept {
  const uint64_t end = run.first + run.count;
  for (uint64_t at = run.first; at < end;) {
    const PageRun next = there.next_run(at, end - at);
    const bool is_there = next.count != 0 && next.first == at;
    uint64_t part_end = end;
    if (is_there) {
      part_end = at + next.count;
    } else if (next.count != 0) {
      part_end = std::min(next.first, end);
    }
    add_candidate({{at, part_end - at}, is_there}, there);
    at = part_end;
  }
}

void WpAsyncTracker::add_candidate(Candidate next, const BlockBitmap& there) noexcept {
  if (next.there && !candidates_.empty() && candidates_.back().there) {
    PageRun& last = candidates_.back().run;
    const uint64_t last_end = last.first + last.count;
    const uint64_t gap = next.run.first - last_end;
    // The gap is protected now; were it written meanwhile, it is reported the sooner.
    const PageRun between = there.next_run(last_end, gap);
    const bool gap_is_there = gap == 0 || (between.first == last_end && between.count == gap);
    if (gap <= kMergePages && gap_is_there) {
      last.count += gap + next.run.count;
      return;
    }
  }
  candidates_.push_back(next);
}

Result<void> WpAsyncTracker::stop() noexcept {
  if (!uffd_) return {};
  marked_.stop();
  Result<void> first;
  for (; registered_ > 0; --registered_) {
    const RamBlock& block = blocks_[registered_ - 1];
    Result<void> removed = uffd_->remove(range_of(block));
    if (!removed && first) {
      first = std::move(removed).context("wp-async: RAM block " + block.idstr);
    }
  }
  uffd_.reset();
  pagemap_.reset();
  there_.clear();
  candidates_ = {};
  blocks_.clear();
  return first;
}

}  // namespace tern
