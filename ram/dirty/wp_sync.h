// SPDX-License-Identifier: Apache-2.0
//
// WpSyncTracker: classic userfaultfd write protection. The first write to a page stops its thread
// until run_service has noted the page and made it writable. For kernels without the asynchronous
// kind (Debian 12's 6.1).
//
// The rule that nothing is lost: a page is writable only if its mark is set. The service sets the
// mark and makes the page writable, the harvest takes the mark and protects the page; each does its
// two steps under mutex_. (Marking first is not enough: a harvest between the service's two steps
// would take the mark and protect, then the service would make the page writable with no mark
// left.)
//
// Untouched private anonymous memory has no page table entry that could be protected before
// Linux 6.4, so it is registered for MISSING faults as well: the first access, even a read, is
// served with a writable page of zeros and noted as dirty. That costs no memory for holes. Shared
// memory and huge pages get protection markers from the kernel.
//
// Each fault names its thread, so writes can be counted for the vCPUs whose threads are known
// (set_vcpu_threads).
//
// A page that is thrown away (MADV_DONTNEED, a punched hole) is NOT seen here until it is touched
// again: mark() must tell.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "ram/dirty/marked_pages.h"
#include "ram/dirty/uffd.h"
#include "tern/dirty_tracker.h"

namespace tern {

/// Address space full of zeros that takes no memory.
class ReadOnlyZeros {
 public:
  ReadOnlyZeros() noexcept = default;
  ReadOnlyZeros(const ReadOnlyZeros&) = delete;
  ReadOnlyZeros& operator=(const ReadOnlyZeros&) = delete;
  ~ReadOnlyZeros();
  /// Makes it at least this long.
  Result<void> reserve(uint64_t bytes) noexcept;
  const std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

class WpSyncTracker final : public DirtyTracker {
 public:
  /// `features`: what the kernel offers (Uffd::probe).
  WpSyncTracker(uint64_t features, LogSink& log) noexcept;
  /// run_service must have returned.
  ~WpSyncTracker() override;
  WpSyncTracker(const WpSyncTracker&) = delete;
  WpSyncTracker& operator=(const WpSyncTracker&) = delete;

  std::string_view name() const noexcept override { return "wp-sync"; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  /// Also lets every thread go on that waits for a fault to be served. run_service may run on.
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    marked_.mark(block, offset, bytes);
  }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override TERN_EXCLUDES(mutex_);
  bool counts_vcpus() const noexcept override TERN_EXCLUDES(mutex_);
  void set_vcpu_threads(std::span<const int> thread_ids) noexcept override TERN_EXCLUDES(mutex_);
  bool needs_service() const noexcept override { return true; }
  /// May begin before start and outlive stop; then it waits. Errors: failed_precondition (another
  /// one runs), and those of the kernel; after one of these call stop(), or writers wait for ever.
  Result<void> run_service(std::stop_token stop) noexcept override;

 private:
  /// Returns the calls that the kernel offers for it.
  Result<uint64_t> register_block(const Uffd& uffd, const RamBlock& block) noexcept;
  Result<void> protect_block(const Uffd& uffd, const RamBlock& block, uint64_t calls) noexcept;
  Result<void> protect_private_huge(const Uffd& uffd, const RamBlock& block) noexcept;
  Result<void> remove_blocks(const Uffd& uffd, size_t count) noexcept;
  Result<void> serve_once(const std::stop_token& stop) noexcept;
  Result<void> serve_waiting() noexcept TERN_REQUIRES(mutex_);
  Result<void> serve(const uffd_msg& message) noexcept TERN_REQUIRES(mutex_);
  void count_writer(uint32_t thread_id, uint64_t pages) noexcept TERN_REQUIRES(mutex_);
  Result<void> fill_with_zeros(const RamBlock& block, MemoryRange page) noexcept
      TERN_REQUIRES(mutex_);
  Result<uint64_t> harvest_chunk(size_t block, uint64_t chunk, BlockBitmap& into) noexcept;
  void wake_service() noexcept;

  const uint64_t features_;
  LogSink& log_;
  MarkedPages marked_;
  Fd wake_;  ///< eventfd: makes the service look at the state again

  // start, harvest and stop write it, the service reads it while uffd_ has a value.
  std::vector<RamBlock> blocks_;
  /// For harvest: the marks of one chunk, as runs.
  BlockBitmap chunk_map_{MarkedPages::kChunkPages};
  /// As many zeros as the largest huge page has, all of them the kernel's one page of zeros.
  ReadOnlyZeros zeros_;

  mutable Mutex mutex_;
  CondVar polling_ended_;
  std::optional<Uffd> uffd_ TERN_GUARDED_BY(mutex_);  ///< has a value exactly while started
  /// Which vCPU a thread is, ascending by thread; and what each has written, empty while nobody
  /// counts.
  std::vector<std::pair<uint32_t, size_t>> vcpu_of_thread_ TERN_GUARDED_BY(mutex_);
  std::vector<uint64_t> vcpu_pages_ TERN_GUARDED_BY(mutex_);
  bool serving_ TERN_GUARDED_BY(mutex_) = false;
  /// The userfaultfd that the service waits for without the mutex, -1 if it waits for none.
  int polled_fd_ TERN_GUARDED_BY(mutex_) = -1;
};

}  // namespace tern
