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
constexpr PageFilter kHoles{.all_of = kPageWritten, .none_of = kPagePresent | kPageSwapped};

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
  populated_.emplace_back();
  if (block.shared) return uffd_->write_protect(range_of(block), true);
  BlockBitmap there(block.used_bytes / kTargetPageBytes);
  TERN_TRY(pagemap_->scan(
      range_of(block), kWrittenAndOurs, Pagemap::Protect::yes,
      [&](uint64_t offset, uint64_t bytes) { there.set_run(pages_of(offset, bytes)); }));
  populated_.back() = std::move(there);
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
      fresh = harvest_private(block, populated_[i], map);
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

Result<uint64_t> WpAsyncTracker::harvest_private(const RamBlock& block, BlockBitmap& populated,
                                                 BlockBitmap& into) noexcept {
  uint64_t added = 0;
  TERN_TRY(pagemap_->scan(range_of(block), kWrittenAndOurs, Pagemap::Protect::yes,
                          [&](uint64_t offset, uint64_t bytes) {
                            const PageRun run = pages_of(offset, bytes);
                            added += into.set_run(run);
                            populated.set_run(run);
                          }));
  // Only after the scan above: a page that goes away between the two is seen here, one that comes
  // back is seen there next time.
  TERN_TRY(pagemap_->scan(range_of(block), kHoles, Pagemap::Protect::no,
                          [&](uint64_t offset, uint64_t bytes) {
                            const PageRun hole = pages_of(offset, bytes);
                            const uint64_t end = hole.first + hole.count;
                            PageRun gone = populated.next_run(hole.first, hole.count);
                            while (gone.count != 0 && gone.first < end) {
                              gone.count = std::min(gone.count, end - gone.first);
                              added += into.set_run(gone);
                              populated.clear_run(gone);
                              gone = populated.next_run(gone.first + gone.count, hole.count);
                            }
                          }));
  return added;
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
  populated_.clear();
  blocks_.clear();
  return first;
}

}  // namespace tern
