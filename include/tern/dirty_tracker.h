// SPDX-License-Identifier: Apache-2.0
//
// Dirty trackers tell WHICH pages of RAM were written. One tracker per VM; the KVM one for guests
// under KVM, the write-protect one for memory that only threads of this process write.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "tern/dirty_bitmap.h"
#include "tern/log.h"
#include "tern/ram_block.h"
#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// Thread rules: start, harvest and stop are called on one thread (mig/src/main), one at a time;
/// mark may be called from any thread at any time; run_service, if needed, on a thread of its own.
class TERN_API DirtyTracker {
 public:
  virtual ~DirtyTracker() = default;

  /// What is used, for logs and statistics: "kvm-bitmap", "wp-async", "wp-sync", ...
  virtual std::string_view name() const noexcept = 0;

  /// Begins tracking. When it returns, every later write is caught by some later harvest; writes
  /// before it are not reported. `blocks` stay valid until stop(). Errors: unsupported,
  /// resource_exhausted, failed_precondition (already started).
  virtual Result<void> start(std::span<const RamBlock> blocks) noexcept = 0;

  /// Ors into `into` the pages written since start or the last harvest; vCPUs may be running. A
  /// write that happens during the call is in this harvest or the next. Returns how many bits
  /// became set. After an error the caller must treat every page as dirty.
  virtual Result<uint64_t> harvest(DirtyBitmap& into) noexcept = 0;

  /// Ends tracking and gives the memory back its normal speed. Idempotent.
  virtual Result<void> stop() noexcept = 0;

  /// Says that [offset, offset + bytes) of block `block` was written by something that the tracker
  /// cannot see (device emulation under KVM, a debugger), or thrown away (a balloon's
  /// MADV_DONTNEED, a punched hole). Call it after the write. Appears in the next harvest; without
  /// effect while not started. Any thread, does not block.
  virtual void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept = 0;

  /// How many pages each vCPU was seen to write since start(): entry n counts for vCPU n, only ever
  /// grows, and is as fresh as the tracker can make it without a harvest. A page counts once per
  /// vCPU and time that it was protected anew; with KVMs that log every write, for each. Empty:
  /// this tracker cannot tell who wrote (a bitmap does not say; a KVM dirty ring does, and write
  /// faults that name their thread do). Any thread.
  virtual std::vector<uint64_t> vcpu_dirty_pages() const noexcept { return {}; }

  /// Whether vcpu_dirty_pages() tells anything once started. Any thread.
  virtual bool counts_vcpus() const noexcept { return false; }

  /// Tells which threads of this process are vCPUs: element n is the kernel's id (gettid) of vCPU
  /// n's thread. A tracker that sees threads write (wp-sync) then has vcpu_dirty_pages(), counting
  /// from the next start(); to others it means nothing. Any thread.
  virtual void set_vcpu_threads(std::span<const int> thread_ids) noexcept;

  /// true if run_service must run on a thread of its own between start and stop.
  virtual bool needs_service() const noexcept { return false; }
  /// Serves write faults until `stop` is requested (wp-sync: without it every writer blocks for
  /// ever), or empties the dirty rings (kvm-ring: without it vCPUs stand still when theirs is
  /// full). Must not touch guest RAM itself.
  virtual Result<void> run_service(std::stop_token stop) noexcept;
};

/// The descriptors and slots of a KVM guest.
struct KvmSlot {
  uint32_t slot = 0;    ///< slot number given to KVM_SET_USER_MEMORY_REGION
  uint32_t flags = 0;   ///< flags it was created with, without KVM_MEM_LOG_DIRTY_PAGES
  size_t block = 0;     ///< index into the RAM blocks
  uint64_t offset = 0;  ///< offset of the slot in that block, bytes
  uint64_t bytes = 0;   ///< length of the slot
  uint64_t gpa = 0;     ///< guest-physical address of the slot
};
struct KvmVm {
  int vm_fd = -1;                  ///< not owned
  std::span<const KvmSlot> slots;  ///< copied by make_kvm_bitmap_tracker
};

/// KVM's dirty log (KVM_GET_DIRTY_LOG; with manual protect and clearing in chunks where the kernel
/// has it, so that the clearing does not hold the guest's memory lock for long). Errors:
/// invalid_argument, unsupported. Writes that do not go through the guest must be told by mark().
TERN_API Result<std::unique_ptr<DirtyTracker>> make_kvm_bitmap_tracker(const KvmVm& vm,
                                                                       LogSink& log) noexcept;

/// KVM's dirty rings: each vCPU tells in a ring of its own which pages it dirtied, so who wrote is
/// known, and finding them costs by what was written and not by the size of the guest. A VM has
/// rings or the dirty log, not both.
class TERN_API KvmRingTracker : public DirtyTracker {
 public:
  /// To be called when KVM_RUN of that vCPU returned KVM_EXIT_DIRTY_RING_FULL, before the next
  /// KVM_RUN: collects and resets all rings, whether tracking is started or not. On the vCPU's
  /// thread; may wait for a harvest that is under way. Errors: internal (the ring holds what no
  /// vCPU can have written), and those of the kernel.
  virtual Result<void> ring_full(uint32_t vcpu) noexcept = 0;
  /// How often ring_full was called for it. Any thread.
  virtual uint64_t ring_full_exits(uint32_t vcpu) const noexcept = 0;
};

/// How many entries a dirty ring may have here. Errors: unsupported (this KVM has no dirty rings).
TERN_API Result<uint32_t> kvm_dirty_ring_limit(int vm_fd) noexcept;

/// Gives each vCPU of the VM a dirty ring: to be called before the first vCPU is created.
/// `entries`: a power of two, at least 1024, at most kvm_dirty_ring_limit(). Errors:
/// invalid_argument, unsupported, failed_precondition (there are vCPUs already).
TERN_API Result<void> enable_kvm_dirty_ring(int vm_fd, uint32_t entries) noexcept;

/// `vcpu_fds`: all vCPUs, in order of their numbers; they are mapped here and may be closed later.
/// `entries`: what enable_kvm_dirty_ring() was given. No other slot of the VM may have dirty
/// logging on. Errors: invalid_argument, unsupported.
TERN_API Result<std::unique_ptr<KvmRingTracker>> make_kvm_ring_tracker(
    const KvmVm& vm, std::span<const int> vcpu_fds, uint32_t entries, LogSink& log) noexcept;

/// How memory of this process is write-protected.
enum class WriteProtectMode {
  automatic,  ///< async if the kernel has it, otherwise sync
  async,      ///< userfaultfd WP_ASYNC and PAGEMAP_SCAN (Linux 6.7 and later): no fault handler
  sync,  ///< userfaultfd write-protect faults served by run_service (Linux 5.7; shared memory 5.19)
};

/// Tracks writes of any thread of this process (not of KVM guests) by userfaultfd write protection.
/// The mode is probed at run time; name() tells which one was chosen. Errors: unsupported (with
/// what the kernel lacks or forbids).
TERN_API Result<std::unique_ptr<DirtyTracker>> make_write_protect_tracker(WriteProtectMode mode,
                                                                          LogSink& log) noexcept;

/// A tracker that knows only what mark() tells it: for a VMM that tracks by itself.
TERN_API std::unique_ptr<DirtyTracker> make_fed_tracker() noexcept;

/// Sets in `into` the pages of `blocks` that may hold something other than zeros; pages that stay
/// clear were never touched and read as zeros, and finding that did not read them. Uses
/// PAGEMAP_SCAN, /proc/self/pagemap and SEEK_DATA, whichever the kernel and the mapping allow;
/// where none does, everything is set. Call it after the tracker was started: what is filled later
/// is then reported as dirty. Returns the name of the method, for logs ("pagemap-scan", "pagemap",
/// "seek-data", "mincore", "all"; "mixed" where blocks differ).
TERN_API Result<std::string_view> find_populated(std::span<const RamBlock> blocks,
                                                 DirtyBitmap& into) noexcept;

}  // namespace tern
