// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/kvm_bitmap.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "ram/dirty/block_checks.h"
#include "ram/dirty/kvm_slots.h"

namespace tern {
namespace {

uint64_t slot_pages(const KvmSlot& slot) noexcept { return slot.bytes / kTargetPageBytes; }
uint64_t slot_words(const KvmSlot& slot) noexcept { return (slot_pages(slot) + 63) / 64; }

ErrorCode code_of(int sys_errno) noexcept {
  return sys_errno == ENOMEM ? ErrorCode::resource_exhausted : ErrorCode::unsupported;
}

}  // namespace

uint64_t probe_manual_protect(int vm_fd) noexcept {
  const int caps = ::ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
  if (caps <= 0 || (caps & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) == 0) return 0;
  return static_cast<uint64_t>(caps) &
         (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
}

uint64_t or_bits_at(BlockBitmap& map, uint64_t page, uint64_t bits) noexcept {
  const uint64_t shift = page % 64;
  uint64_t added = map.or_word(page / 64, bits << shift);
  if (shift != 0) added += map.or_word(page / 64 + 1, bits >> (64 - shift));
  return added;
}

KvmBitmapTracker::KvmBitmapTracker(const KvmVm& vm, uint64_t manual_caps) noexcept
    : vm_fd_(vm.vm_fd), slots_(vm.slots.begin(), vm.slots.end()), manual_caps_(manual_caps) {}

KvmBitmapTracker::~KvmBitmapTracker() { stop().ignore("the VM may be gone; nobody can be told"); }

std::string_view KvmBitmapTracker::name() const noexcept {
  return manual_caps_ != 0 ? "kvm-bitmap-manual" : "kvm-bitmap";
}

Result<void> KvmBitmapTracker::start(std::span<const RamBlock> blocks) noexcept {
  if (started_) return Error(ErrorCode::failed_precondition, "KVM dirty log: already started");
  TERN_TRY(check_blocks(blocks));
  TERN_TRY(check_slots(slots_, blocks));
  blocks_.assign(blocks.begin(), blocks.end());
  uint64_t words = 0;
  for (const KvmSlot& slot : slots_) words = std::max(words, slot_words(slot));
  log_.assign(words, 0);
  marked_.start(blocks);
  started_ = true;
  Result<void> begun = begin_logging();
  if (!begun) stop().ignore("the error that matters is the one that made us stop");
  return begun;
}

Result<void> KvmBitmapTracker::begin_logging() noexcept {
  // Also to switch it OFF: were it left on by somebody, reading the log would not protect the pages
  // again.
  if (manual_caps_ != 0 || probe_manual_protect(vm_fd_) != 0) {
    kvm_enable_cap cap{};
    cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
    cap.args[0] = manual_caps_;
    if (retry_ioctl(vm_fd_, KVM_ENABLE_CAP, &cap) < 0) {
      const int error = errno;
      return errno_error(ErrorCode::unsupported, "setting manual dirty log protection", error);
    }
  }
  for (const KvmSlot& slot : slots_) {
    TERN_TRY(set_dirty_logging(vm_fd_, slot, blocks_[slot.block], true));
    ++logging_slots_;
  }
  if ((manual_caps_ & KVM_DIRTY_LOG_INITIALLY_SET) == 0) return {};
  // The log is full and no page is protected yet. Clearing it protects: from here on every write is
  // caught.
  std::fill(log_.begin(), log_.end(), ~uint64_t{0});
  for (const KvmSlot& slot : slots_) {
    for (uint64_t word = 0; word < slot_words(slot); word += kClearPages / 64) {
      const uint64_t words = std::min(kClearPages / 64, slot_words(slot) - word);
      TERN_TRY(clear_log(slot, word, words, log_.data()));
    }
  }
  return {};
}

Result<void> KvmBitmapTracker::clear_log(const KvmSlot& slot, uint64_t first_word, uint64_t words,
                                         const uint64_t* bits) noexcept {
  kvm_clear_dirty_log clear{};
  clear.slot = slot.slot;
  clear.first_page = first_word * 64;
  // Only the end of the slot may be no multiple of 64.
  clear.num_pages = static_cast<uint32_t>(std::min(words * 64, slot_pages(slot) - first_word * 64));
  clear.dirty_bitmap = const_cast<uint64_t*>(bits);  // NOLINT: the kernel only reads it
  if (retry_ioctl(vm_fd_, KVM_CLEAR_DIRTY_LOG, &clear) == 0) return {};
  const int error = errno;
  return errno_error(
      code_of(error),
      slot_name(slot) + ": clearing the dirty log from page " + std::to_string(clear.first_page),
      error);
}

Result<uint64_t> KvmBitmapTracker::harvest_slot(const KvmSlot& slot, BlockBitmap& into) noexcept {
  kvm_dirty_log get{};
  get.slot = slot.slot;
  get.dirty_bitmap = log_.data();
  if (retry_ioctl(vm_fd_, KVM_GET_DIRTY_LOG, &get) < 0) {
    const int error = errno;
    return errno_error(code_of(error), slot_name(slot) + ": reading the dirty log", error);
  }
  const uint64_t words = slot_words(slot);
  if (slot_pages(slot) % 64 != 0) log_[words - 1] &= (uint64_t{1} << (slot_pages(slot) % 64)) - 1;

  uint64_t added = 0;
  for (uint64_t chunk = 0; chunk < words; chunk += kClearPages / 64) {
    const uint64_t chunk_end = std::min(chunk + kClearPages / 64, words);
    uint64_t first_dirty = chunk_end;
    uint64_t last_dirty = chunk;
    for (uint64_t word = chunk; word < chunk_end; ++word) {
      if (log_[word] == 0) continue;
      first_dirty = std::min(first_dirty, word);
      last_dirty = word;
      added += or_bits_at(into, slot.offset / kTargetPageBytes + word * 64, log_[word]);
    }
    if (first_dirty == chunk_end || manual_caps_ == 0) continue;
    TERN_TRY(clear_log(slot, first_dirty, last_dirty - first_dirty + 1, &log_[first_dirty]));
  }
  return added;
}

Result<uint64_t> KvmBitmapTracker::harvest(DirtyBitmap& into) noexcept {
  if (!started_) return Error(ErrorCode::failed_precondition, "KVM dirty log: not started");
  TERN_TRY(check_shape(blocks_, into).context("KVM dirty log"));
  uint64_t added = marked_.harvest(into);
  for (const KvmSlot& slot : slots_) {
    added += TERN_TRY(harvest_slot(slot, into.block(slot.block)));
  }
  return added;
}

Result<void> KvmBitmapTracker::stop() noexcept {
  if (!started_) return {};
  marked_.stop();
  Result<void> first;
  for (; logging_slots_ > 0; --logging_slots_) {
    const KvmSlot& slot = slots_[logging_slots_ - 1];
    Result<void> off = set_dirty_logging(vm_fd_, slot, blocks_[slot.block], false);
    if (!off && first) first = std::move(off);
  }
  log_ = {};
  blocks_.clear();
  started_ = false;
  return first;
}

Result<std::unique_ptr<DirtyTracker>> make_kvm_bitmap_tracker(const KvmVm& vm,
                                                              LogSink& log) noexcept {
  TERN_TRY(check_vm(vm, "KVM dirty log"));
  auto tracker = std::make_unique<KvmBitmapTracker>(vm, probe_manual_protect(vm.vm_fd));
  log.log(LogLevel::debug, "dirty tracking by KVM's dirty log: " + std::string(tracker->name()));
  return std::unique_ptr<DirtyTracker>(std::move(tracker));
}

}  // namespace tern
