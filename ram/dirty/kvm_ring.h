// SPDX-License-Identifier: Apache-2.0
//
// KvmRings: KVM's dirty rings, one per vCPU, into which the kernel writes which page the vCPU
// dirtied. Knows the ioctls and the layout of an entry.
//
// An entry goes round: the kernel fills it and sets DIRTY, collecting notes the page and sets
// RESET, the reset call protects the pages of all entries that have RESET and gives them back to
// the kernel. Until then the page stays writable and no write to it is seen.
//
// The rule that nothing is lost: a page is writable only if its mark is set. Collecting sets the
// mark; a harvest collects, resets, and only then takes the marks; all under mutex_.
//
// The service (run_service) collects every few milliseconds, so that counts per vCPU are fresh and
// no ring fills up. It resets only when a ring has a quarter of its entries waiting, so that pages
// written all the time need not fault every few milliseconds.
//
// Overruns: a KVM must stop a vCPU before its ring is full. Some are late and write over entries
// that nobody has read (seen: 28 to 180 too many). Then pages are missing, and kernel and reader no
// longer agree on the position, so that the vCPU would be kept out for ever. A ring of which every
// entry was read since the last reset, or that does not take all back, is taken for overrun: all
// pages are protected anew and count as dirty, and when its vCPU stands still (ring_full) the
// positions are made to agree again. A ring that was filled to where a reset began is not overrun,
// but what the kernel published there may be gone: see was_reset.
// A vCPU that is kept out for nothing would be the sign of an overrun that was not found, and ends
// tracking with an error.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "ram/dirty/marked_pages.h"
#include "tern/clock.h"
#include "tern/dirty_tracker.h"

namespace tern {

/// One ring, wherever its memory is. One thread.
class DirtyRing {
 public:
  /// `entries`: a power of two, zeroed or as the kernel left them; outlives it.
  explicit DirtyRing(std::span<kvm_dirty_gfn> entries) noexcept : entries_(entries) {}

  struct Entry {
    uint32_t slot;
    uint64_t offset;  ///< pages
  };
  /// The next entry the kernel has published, if there is one and the ring is not overrun. Look at
  /// it, then call next().
  std::optional<Entry> peek() noexcept;
  /// The entry that peek() showed has been noted.
  void next() noexcept;
  /// After KVM_RESET_DIRTY_RINGS: the kernel has those back that were noted, or the ring is
  /// overrun, if some of these were written over before. true: an entry that was never seen may be
  /// gone.
  [[nodiscard]] bool was_reset() noexcept;

  /// Nothing that is read from it can be relied on.
  bool overrun() const noexcept { return overrun_; }
  /// Of a ring that is overrun and whose vCPU stands still: prepares it so that a reset takes the
  /// kernel to where this reads, whatever the kernel has done. After that reset, was_given_up():
  /// where the kernel goes on writing is seen when it does.
  void give_up() noexcept;
  void was_given_up() noexcept;
  /// The vCPU is kept out and nothing was published: entries that were written over still count.
  /// Prepares some of these to be reset. Does nothing if that is not so.
  void give_back_unseen() noexcept;

  /// Entries that were noted and not yet reset.
  uint64_t waiting() const noexcept { return waiting_; }
  uint64_t size() const noexcept { return entries_.size(); }
  /// Where peek() looks: for error texts.
  uint64_t position() const noexcept { return position_ & (entries_.size() - 1); }

 private:
  std::atomic_ref<uint32_t> flags(uint64_t position) const noexcept;
  bool published(uint64_t position) const noexcept;
  void prepare_reset(uint64_t position) noexcept;
  void skip_unpublished() noexcept;

  std::span<kvm_dirty_gfn> entries_;
  uint64_t position_ = 0;
  uint64_t waiting_ = 0;  // position_ - waiting_ is where the kernel resets next
  bool overrun_ = false;
  bool lost_ = false;         // the kernel goes on somewhere behind position_
  uint64_t holes_until_ = 0;  // up to there a place may be empty although the kernel wrote it
};

/// Where the rings are and who resets them: the kernel, or a test.
class RingHost {
 public:
  virtual ~RingHost() = default;
  /// One per vCPU; stays as it is.
  virtual std::vector<std::span<kvm_dirty_gfn>> rings() noexcept = 0;
  /// Protects the pages of all entries that have RESET. Returns how many that were.
  virtual Result<uint64_t> reset() noexcept = 0;
  virtual Result<void> set_logging(const KvmSlot& slot, const RamBlock& block,
                                   bool on) noexcept = 0;
};

class KvmRings final : public KvmRingTracker {
 public:
  KvmRings(std::span<const KvmSlot> slots, std::unique_ptr<RingHost> host, LogSink& log) noexcept;
  ~KvmRings() override;
  KvmRings(const KvmRings&) = delete;
  KvmRings& operator=(const KvmRings&) = delete;

  std::string_view name() const noexcept override { return "kvm-ring"; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override;
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override;
  Result<void> stop() noexcept override;
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    marked_.mark(block, offset, bytes);
  }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override;
  bool counts_vcpus() const noexcept override { return true; }
  bool needs_service() const noexcept override { return true; }
  /// May begin before start and outlive stop; then it waits.
  Result<void> run_service(std::stop_token stop) noexcept override;
  Result<void> ring_full(uint32_t vcpu) noexcept override;
  uint64_t ring_full_exits(uint32_t vcpu) const noexcept override;

  /// How often run_service looks: 1 ms for small rings, 5 ms for those of 65536 entries.
  Milliseconds period() const noexcept;

 private:
  struct Vcpu {
    explicit Vcpu(std::span<kvm_dirty_gfn> entries) noexcept : ring(entries) {}
    DirtyRing ring;                         // with mutex_
    std::optional<DirtyRing::Entry> last;   // noted, since the last reset; with mutex_
    std::atomic<bool> stands_still{false};  // inside ring_full
    uint32_t fruitless = 0;  // ring_full calls in a row that found nothing; with mutex_
    std::atomic<uint64_t> recoveries{0};  // from overruns
    std::atomic<uint64_t> pages{0};
    std::atomic<uint64_t> full_exits{0};
  };

  Result<void> collect() noexcept TERN_REQUIRES(mutex_);
  Result<void> note(uint32_t vcpu, const DirtyRing::Entry& entry) noexcept TERN_REQUIRES(mutex_);
  Result<void> reset() noexcept TERN_REQUIRES(mutex_);
  Result<void> discard() noexcept TERN_REQUIRES(mutex_);
  void check_kept_out(uint32_t vcpu) noexcept TERN_REQUIRES(mutex_);
  Result<uint64_t> reset_entries(uint64_t at_most) noexcept TERN_REQUIRES(mutex_);
  Result<void> check_rings() noexcept TERN_REQUIRES(mutex_);
  bool any_overrun() const noexcept TERN_REQUIRES(mutex_);
  Result<void> recover() noexcept TERN_REQUIRES(mutex_);
  Result<void> protect_all() noexcept TERN_REQUIRES(mutex_);
  Result<void> switch_off() noexcept TERN_REQUIRES(mutex_);
  const KvmSlot* find_slot(uint32_t slot) noexcept TERN_REQUIRES(mutex_);
  bool must_reset() const noexcept TERN_REQUIRES(mutex_);

  const std::vector<KvmSlot> slots_;  // ascending by number
  const std::unique_ptr<RingHost> host_;
  LogSink& log_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  MarkedPages marked_;

  mutable Mutex mutex_;
  std::vector<RamBlock> blocks_ TERN_GUARDED_BY(mutex_);
  const KvmSlot* last_slot_ TERN_GUARDED_BY(mutex_) = nullptr;
  size_t logging_slots_ TERN_GUARDED_BY(mutex_) = 0;     // slots_[0, this) have logging on
  std::optional<Error> broken_ TERN_GUARDED_BY(mutex_);  // what was in the rings is lost
  bool started_ TERN_GUARDED_BY(mutex_) = false;
};

}  // namespace tern
