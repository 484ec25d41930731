// SPDX-License-Identifier: Apache-2.0
//
// KvmBitmapTracker: the dirty log of KVM, as a bitmap per memory slot. Knows slots and ioctls;
// which page of which block a slot's bit means is all it knows of RAM.
//
// Two ways, chosen by what KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 offers:
//  - "kvm-bitmap-manual": reading the log (KVM_GET_DIRTY_LOG) only copies it; pages are protected
//  again by
//    KVM_CLEAR_DIRTY_LOG, at most kClearPages at a time and only where something was dirty, so that
//    the guest's page faults never wait long for the MMU lock. With KVM_DIRTY_LOG_INITIALLY_SET the
//    log starts full and nothing is protected when logging is switched on; start() then does that,
//    in the same chunks.
//  - "kvm-bitmap": reading clears and protects the whole slot at once (kernels before 5.0).
// A page written between the read and the clear is in the bitmap already read, and the caller reads
// its content only after harvest(): nothing is lost.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ram/dirty/marked_pages.h"
#include "tern/dirty_tracker.h"

namespace tern {

class KvmBitmapTracker final : public DirtyTracker {
 public:
  /// Pages per KVM_CLEAR_DIRTY_LOG call: 256 MiB. A multiple of 64, as the call demands.
  static constexpr uint64_t kClearPages = 64 << 10;

  /// `manual_caps`: the bits of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 to enable, 0 to go without.
  KvmBitmapTracker(const KvmVm& vm, uint64_t manual_caps) noexcept;
  ~KvmBitmapTracker() override;
  KvmBitmapTracker(const KvmBitmapTracker&) = delete;
  KvmBitmapTracker& operator=(const KvmBitmapTracker&) = delete;

  std::string_view name() const noexcept override;
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    marked_.mark(block, offset, bytes);
  }

 private:
  Result<void> begin_logging() noexcept;
  /// Protects the pages of [first_word, first_word + words) whose bit is set in `bits`.
  Result<void> clear_log(const KvmSlot& slot, uint64_t first_word, uint64_t words,
                         const uint64_t* bits) noexcept;
  Result<uint64_t> harvest_slot(const KvmSlot& slot, BlockBitmap& into) noexcept;

  const int vm_fd_;
  const std::vector<KvmSlot> slots_;
  const uint64_t manual_caps_;
  MarkedPages marked_;
  std::vector<RamBlock> blocks_;
  std::vector<uint64_t> log_;  ///< for the largest slot, reused
  size_t logging_slots_ = 0;   ///< slots_[0, this) have logging on
  bool started_ = false;
};

/// What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 offers here; 0 where the kernel does not have it.
uint64_t probe_manual_protect(int vm_fd) noexcept;

/// Ors `bits`, the 64 pages from `page` on, into a map; `page` need not be a multiple of 64.
/// Returns how many became set.
uint64_t or_bits_at(BlockBitmap& map, uint64_t page, uint64_t bits) noexcept;

}  // namespace tern
