// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/kvm_ring.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include "ram/dirty/block_checks.h"
#include "ram/dirty/kvm_slots.h"

namespace tern {
namespace {

/// The kernel keeps up to 64 entries and one hardware log (512) free of each ring.
constexpr uint32_t kMinEntries = 1024;
constexpr uint64_t kEntriesPerMillisecond = 16384;
constexpr uint64_t kResetPart = 4;
/// Ring-full exits in a row with nothing in the ring, after which it is not believed any more.
constexpr uint32_t kFruitless = 64;

uint64_t bytes_of(uint32_t entries) noexcept { return uint64_t{entries} * sizeof(kvm_dirty_gfn); }

/// The kernel's: rings mapped from the descriptors of the vCPUs.
class KernelRings final : public RingHost {
 public:
  explicit KernelRings(int vm_fd) noexcept : vm_fd_(vm_fd) {}
  ~KernelRings() override {
    for (const auto& ring : rings_) ::munmap(ring.data(), ring.size_bytes());
  }
  KernelRings(const KernelRings&) = delete;
  KernelRings& operator=(const KernelRings&) = delete;

  Result<void> map(int vcpu_fd, uint32_t entries) noexcept {
    const long page = ::sysconf(_SC_PAGESIZE);
    void* at = ::mmap(nullptr, bytes_of(entries), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd,
                      page * KVM_DIRTY_LOG_PAGE_OFFSET);
    if (at == MAP_FAILED) {
      return errno_error(ErrorCode::invalid_argument,
                         "mapping the dirty ring of vCPU " + std::to_string(rings_.size()), errno);
    }
    rings_.emplace_back(static_cast<kvm_dirty_gfn*>(at), entries);
    return {};
  }
  /// Whether the VM has rings of this size: reading what is not there would be a SIGBUS.
  Result<void> check() noexcept {
    (void)TERN_TRY(reset());
    for (const auto& ring : rings_) {
      if (::madvise(ring.data(), ring.size_bytes(), MADV_POPULATE_READ) == 0) continue;
      if (errno == EINVAL) break;  // Linux 5.13 and older cannot tell
      return errno_error(ErrorCode::invalid_argument,
                         "they do not have " + std::to_string(ring.size()) + " entries", errno);
    }
    return {};
  }
  std::vector<std::span<kvm_dirty_gfn>> rings() noexcept override { return rings_; }
  Result<uint64_t> reset() noexcept override {
    const int done = retry_ioctl(vm_fd_, KVM_RESET_DIRTY_RINGS, nullptr);
    if (done >= 0) return static_cast<uint64_t>(done);
    return errno_error(ErrorCode::internal, "KVM_RESET_DIRTY_RINGS", errno);
  }
  Result<void> set_logging(const KvmSlot& slot, const RamBlock& block, bool on) noexcept override {
    return set_dirty_logging(vm_fd_, slot, block, on);
  }

 private:
  const int vm_fd_;
  std::vector<std::span<kvm_dirty_gfn>> rings_;
};

std::vector<KvmSlot> by_number(std::span<const KvmSlot> slots) {
  std::vector<KvmSlot> sorted(slots.begin(), slots.end());
  std::ranges::sort(sorted, {}, &KvmSlot::slot);
  return sorted;
}

}  // namespace

std::atomic_ref<uint32_t> DirtyRing::flags(uint64_t position) const noexcept {
  return std::atomic_ref<uint32_t>(entries_[position & (entries_.size() - 1)].flags);
}

bool DirtyRing::published(uint64_t position) const noexcept {
  // Acquire: pairs with the kernel's release after it filled the entry.
  return (flags(position).load(std::memory_order_acquire) & KVM_DIRTY_GFN_F_DIRTY) != 0;
}

void DirtyRing::prepare_reset(uint64_t position) noexcept {
  // Release: the kernel may use the entry again only after we have read it. DIRTY goes, so that no
  // entry is read twice.
  flags(position).store(KVM_DIRTY_GFN_F_RESET, std::memory_order_release);
}

std::optional<DirtyRing::Entry> DirtyRing::peek() noexcept {
  if (overrun()) return std::nullopt;
  if (lost_ && published(position_)) {
    // The kernel went on behind it: it came all the way round, unless it went on just here.
    overrun_ = published(position_ + entries_.size() - 1);
    if (overrun_) return std::nullopt;
  } else if (lost_ || position_ < holes_until_) {
    skip_unpublished();
  }
  if (!published(position_)) return std::nullopt;
  lost_ = false;
  // Atomic: a kernel that writes past the end may write just here.
  kvm_dirty_gfn& entry = entries_[position()];
  return Entry{std::atomic_ref<uint32_t>(entry.slot).load(std::memory_order_relaxed),
               std::atomic_ref<__u64>(entry.offset).load(std::memory_order_relaxed)};
}

void DirtyRing::next() noexcept {
  prepare_reset(position_);
  ++position_;
  if (++waiting_ == entries_.size()) overrun_ = true;
}

// A reset looks at an entry and then clears it: what the vCPU, a whole lap ahead, publishes there
// in between is gone, and the place stays empty. The vCPU has then filled all that was free before.
bool DirtyRing::was_reset() noexcept {
  if (waiting_ == 0) return false;
  const bool lapped = published(position_ - waiting_ - 1);
  // Entries are reset in order, so the last one tells whether all were. One that the kernel wrote
  // since is taken for the worse.
  overrun_ = flags(position_ - 1).load(std::memory_order_acquire) != 0;
  if (overrun_) return false;
  waiting_ = 0;
  // In the next lap, and behind it what was written over.
  if (lapped) holes_until_ = position_ + 2 * entries_.size();
  return lapped;
}

// Up to the first entry that is published behind position_. Those between were written over or
// cleared: they are given back with the rest, which protects pages that are protected already.
void DirtyRing::skip_unpublished() noexcept {
  const uint64_t end = position_ + entries_.size() - waiting_;
  uint64_t found = position_;
  while (found < end && !published(found)) ++found;
  if (found == end) return;
  // The kernel publishes in order: what it published before this one is visible now.
  while (position_ < found && !published(position_)) next();
}

// It resets from where it is, which nobody here knows, up to the only entry that may not be reset.
void DirtyRing::give_up() noexcept {
  for (uint64_t i = 1; i < entries_.size(); ++i) prepare_reset(position_ + i);
  flags(position_).store(0, std::memory_order_release);
}

void DirtyRing::was_given_up() noexcept {
  // An entry behind position_ that is left as if it were noted would be reset before it was
  // published, a lap from now. The kernel would then count more entries given back than it has
  // written, and take the ring for full for ever.
  for (uint64_t i = 0; i < entries_.size(); ++i) {
    flags(position_ + i).store(0, std::memory_order_release);
  }
  waiting_ = 0;
  holes_until_ = 0;
  overrun_ = false;
  lost_ = true;
}

void DirtyRing::give_back_unseen() noexcept {
  if (!lost_ || overrun_ || waiting_ != 0) return;
  // It is kept out, so more than this are taken for full.
  for (uint64_t i = 0; i < entries_.size() / kResetPart; ++i) next();
}

KvmRings::KvmRings(std::span<const KvmSlot> slots, std::unique_ptr<RingHost> host,
                   LogSink& log) noexcept
    : slots_(by_number(slots)), host_(std::move(host)), log_(log) {
  for (const auto& ring : host_->rings()) vcpus_.push_back(std::make_unique<Vcpu>(ring));
}

KvmRings::~KvmRings() { stop().ignore("the VM may be gone; nobody can be told"); }

const KvmSlot* KvmRings::find_slot(uint32_t slot) noexcept {
  // A vCPU stays in one slot for long.
  if (last_slot_ != nullptr && last_slot_->slot == slot) return last_slot_;
  const auto found = std::ranges::lower_bound(slots_, slot, {}, &KvmSlot::slot);
  if (found == slots_.end() || found->slot != slot) return nullptr;
  return last_slot_ = &*found;
}

Result<void> KvmRings::note(uint32_t vcpu, const DirtyRing::Entry& entry) noexcept {
  const KvmSlot* slot = find_slot(entry.slot);
  if (slot != nullptr && entry.offset < slot->bytes / kTargetPageBytes) {
    marked_.mark(slot->block, slot->offset + entry.offset * kTargetPageBytes, kTargetPageBytes);
    // KVM publishes an entry for each write that it emulates, however often it is the same page.
    auto& last = vcpus_[vcpu]->last;
    if (!last || last->slot != entry.slot || last->offset != entry.offset) {
      vcpus_[vcpu]->pages.fetch_add(1, std::memory_order_relaxed);
      last = entry;
    }
    return {};
  }
  const std::string where = "dirty ring of vCPU " + std::to_string(vcpu) + ", entry " +
                            std::to_string(vcpus_[vcpu]->ring.position()) + ": ";
  if (slot == nullptr) {
    return Error(ErrorCode::internal, where + slot_name({.slot = entry.slot}) + " is not known");
  }
  return Error(ErrorCode::internal,
               where + slot_name(*slot) + " has no page " + std::to_string(entry.offset));
}

Result<void> KvmRings::collect() noexcept {
  if (broken_) return Error(*broken_);
  for (uint32_t vcpu = 0; vcpu < vcpus_.size(); ++vcpu) {
    DirtyRing& ring = vcpus_[vcpu]->ring;
    // Bounded: what is noted is not published again before it was reset.
    for (auto entry = ring.peek(); entry; entry = ring.peek()) {
      Result<void> noted = note(vcpu, *entry);
      if (!noted) {
        broken_ = noted.error();
        return noted;
      }
      ring.next();
    }
  }
  return {};
}

Result<void> KvmRings::reset() noexcept {
  uint64_t waiting = 0;
  for (auto& vcpu : vcpus_) {
    waiting += vcpu->ring.waiting();
    vcpu->last.reset();
  }
  if (waiting != 0 && !any_overrun()) {
    (void)TERN_TRY(reset_entries(waiting));
    TERN_TRY(check_rings());
  }
  return any_overrun() ? recover() : Result<void>();
}

// A signal may end a reset early, even with nothing done; it is delivered then, and the next one is
// not ended by it. Twice nothing tells that something is in the way.
Result<uint64_t> KvmRings::reset_entries(uint64_t at_most) noexcept {
  uint64_t done = 0;
  for (int fruitless = 0; fruitless < 2 && done < at_most;) {
    const uint64_t more = TERN_TRY(host_->reset());
    fruitless = more == 0 ? fruitless + 1 : 0;
    done += more;
  }
  return done;
}

// After a reset.
Result<void> KvmRings::check_rings() noexcept {
  bool lapped = false;
  for (auto& vcpu : vcpus_) lapped |= vcpu->ring.was_reset();
  return lapped ? protect_all() : Result<void>();
}

bool KvmRings::any_overrun() const noexcept {
  return std::ranges::any_of(vcpus_, [](const auto& vcpu) { return vcpu->ring.overrun(); });
}

Result<void> KvmRings::recover() noexcept {
  TERN_TRY(protect_all());
  // While the vCPU of such a ring runs, a reset would move a position that nobody can see. It will
  // call ring_full.
  for (const auto& vcpu : vcpus_) {
    if (vcpu->ring.overrun() && !vcpu->stands_still.load()) return {};
  }
  for (auto& vcpu : vcpus_) {
    if (!vcpu->ring.overrun()) continue;
    vcpu->ring.give_up();
    vcpu->recoveries.fetch_add(1);
  }
  (void)TERN_TRY(reset_entries(UINT64_MAX));
  for (auto& vcpu : vcpus_) {
    if (vcpu->ring.overrun()) vcpu->ring.was_given_up();
  }
  return check_rings();  // the others run: one may have been overrun just now
}

// What a ring did not say may be any page.
Result<void> KvmRings::protect_all() noexcept {
  if (!started_) return {};
  for (const KvmSlot& slot : slots_) {
    TERN_TRY(host_->set_logging(slot, blocks_[slot.block], false));
    TERN_TRY(host_->set_logging(slot, blocks_[slot.block], true));
  }
  for (size_t block = 0; block < blocks_.size(); ++block) {
    marked_.mark(block, 0, blocks_[block].used_bytes);
  }
  log_.log(LogLevel::warning,
           "KVM let a vCPU write past the end of its dirty ring: every page counts as dirty");
  return {};
}

Result<void> KvmRings::discard() noexcept {
  for (auto& vcpu : vcpus_) {
    while (vcpu->ring.peek()) vcpu->ring.next();
  }
  return reset();
}

bool KvmRings::must_reset() const noexcept {
  return std::ranges::any_of(vcpus_, [](const auto& vcpu) {
    return vcpu->ring.waiting() >= vcpu->ring.size() / kResetPart;
  });
}

Result<void> KvmRings::start(std::span<const RamBlock> blocks) noexcept {
  TERN_TRY(check_blocks(blocks).context("KVM dirty ring"));
  TERN_TRY(check_slots(slots_, blocks));
  const MutexLock lock(mutex_);
  if (started_) return Error(ErrorCode::failed_precondition, "KVM dirty ring: already started");
  TERN_TRY(discard());
  for (auto& vcpu : vcpus_) vcpu->pages.store(0, std::memory_order_relaxed);
  blocks_.assign(blocks.begin(), blocks.end());
  marked_.start(blocks);
  for (const KvmSlot& slot : slots_) {
    Result<void> on = host_->set_logging(slot, blocks_[slot.block], true);
    if (!on) {
      switch_off().ignore("the error that matters is the one that made us stop");
      return on;
    }
    ++logging_slots_;
  }
  started_ = true;
  return {};
}

Result<uint64_t> KvmRings::harvest(DirtyBitmap& into) noexcept {
  const MutexLock lock(mutex_);
  if (!started_) return Error(ErrorCode::failed_precondition, "KVM dirty ring: not started");
  TERN_TRY(check_shape(blocks_, into).context("KVM dirty ring"));
  TERN_TRY(collect());
  TERN_TRY(reset());
  return marked_.harvest(into);
}

Result<void> KvmRings::switch_off() noexcept {
  Result<void> first;
  for (; logging_slots_ > 0; --logging_slots_) {
    const KvmSlot& slot = slots_[logging_slots_ - 1];
    Result<void> off = host_->set_logging(slot, blocks_[slot.block], false);
    if (!off && first) first = std::move(off);
  }
  Result<void> emptied = discard();
  if (!emptied && first) first = std::move(emptied);
  marked_.stop();
  blocks_.clear();
  broken_.reset();
  started_ = false;
  return first;
}

Result<void> KvmRings::stop() noexcept {
  const MutexLock lock(mutex_);
  return started_ ? switch_off() : Result<void>();
}

Result<void> KvmRings::ring_full(uint32_t vcpu) noexcept {
  if (vcpu >= vcpus_.size()) {
    return Error(ErrorCode::invalid_argument,
                 "KVM dirty ring: there is no vCPU " + std::to_string(vcpu));
  }
  if (vcpus_[vcpu]->full_exits.fetch_add(1, std::memory_order_relaxed) == 0) {
    log_.log(LogLevel::warning, "the dirty ring of vCPU " + std::to_string(vcpu) +
                                    " was full: it waits for the others to be emptied, too; larger "
                                    "rings avoid that");
  }
  const uint64_t recoveries = vcpus_[vcpu]->recoveries.load();
  vcpus_[vcpu]->stands_still.store(true);
  const MutexLock lock(mutex_);
  // What is wrong with an entry is told by the next harvest and the service; the guest goes on.
  const bool collected = started_ && collect().has_value();
  // Unless the ring was put right while we waited: what we were called for is over then.
  if (recoveries == vcpus_[vcpu]->recoveries.load()) vcpus_[vcpu]->ring.give_back_unseen();
  if (collected) check_kept_out(vcpu);
  Result<void> emptied = collected ? reset() : discard();
  vcpus_[vcpu]->stands_still.store(false);
  return emptied;
}

// Seen where a ring had been written past its end unnoticed: then pages were missing, too. Once or
// twice is nothing, the service may have emptied the ring while the vCPU was on its way here.
void KvmRings::check_kept_out(uint32_t vcpu) noexcept {
  Vcpu& state = *vcpus_[vcpu];
  const bool found = state.ring.waiting() != 0 || state.ring.overrun();
  state.fruitless = found ? 0 : state.fruitless + 1;
  if (state.fruitless < kFruitless || broken_) return;
  broken_.emplace(ErrorCode::internal,
                  "KVM says again and again that the dirty ring of vCPU " + std::to_string(vcpu) +
                      " is full, and nothing is in it: pages may have been missed");
}

uint64_t KvmRings::ring_full_exits(uint32_t vcpu) const noexcept {
  return vcpu < vcpus_.size() ? vcpus_[vcpu]->full_exits.load(std::memory_order_relaxed) : 0;
}

std::vector<uint64_t> KvmRings::vcpu_dirty_pages() const noexcept {
  std::vector<uint64_t> pages;
  pages.reserve(vcpus_.size());
  for (const auto& vcpu : vcpus_) pages.push_back(vcpu->pages.load(std::memory_order_relaxed));
  return pages;
}

Milliseconds KvmRings::period() const noexcept {
  const uint64_t entries = vcpus_.empty() ? 0 : vcpus_[0]->ring.size();
  return Milliseconds(1 + entries / kEntriesPerMillisecond);
}

Result<void> KvmRings::run_service(std::stop_token stop) noexcept {
  std::mutex sleep_mutex;
  std::condition_variable_any sleep;
  const auto period = this->period();
  while (!stop.stop_requested()) {
    {
      const MutexLock lock(mutex_);
      if (started_) {
        TERN_TRY(collect());
        if (must_reset()) TERN_TRY(reset());
      }
    }
    std::unique_lock lock(sleep_mutex);
    sleep.wait_for(lock, stop, period, [] { return false; });
  }
  return {};
}

Result<uint32_t> kvm_dirty_ring_limit(int vm_fd) noexcept {
  for (const int cap : {KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING}) {
    const int bytes = ::ioctl(vm_fd, KVM_CHECK_EXTENSION, cap);
    if (bytes < 0) {
      return errno_error(ErrorCode::invalid_argument, "the descriptor is not a KVM VM", errno);
    }
    if (bytes > 0) {
      return static_cast<uint32_t>(static_cast<size_t>(bytes) / sizeof(kvm_dirty_gfn));
    }
  }
  return Error(ErrorCode::unsupported, "this KVM has no dirty rings");
}

Result<void> enable_kvm_dirty_ring(int vm_fd, uint32_t entries) noexcept {
  const uint32_t limit = TERN_TRY(kvm_dirty_ring_limit(vm_fd));
  if (!std::has_single_bit(entries) || entries < kMinEntries || entries > limit) {
    return Error(ErrorCode::invalid_argument, "a dirty ring of " + std::to_string(entries) +
                                                  " entries: must be a power of two from " +
                                                  std::to_string(kMinEntries) + " to " +
                                                  std::to_string(limit));
  }
  const bool ordered = ::ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) > 0;
  kvm_enable_cap cap{};
  cap.cap = ordered ? KVM_CAP_DIRTY_LOG_RING_ACQ_REL : KVM_CAP_DIRTY_LOG_RING;
  cap.args[0] = bytes_of(entries);
  if (retry_ioctl(vm_fd, KVM_ENABLE_CAP, &cap) == 0) return {};
  const int error = errno;
  // The documented answer once there are vCPUs; the size was checked above.
  const bool too_late = error == EINVAL || error == EEXIST;
  return errno_error(too_late ? ErrorCode::failed_precondition : ErrorCode::unsupported,
                     too_late ? "switching dirty rings on (there are vCPUs or rings already)"
                              : "switching dirty rings on",
                     error);
}

Result<std::unique_ptr<KvmRingTracker>> make_kvm_ring_tracker(const KvmVm& vm,
                                                              std::span<const int> vcpu_fds,
                                                              uint32_t entries,
                                                              LogSink& log) noexcept {
  TERN_TRY(check_vm(vm, "KVM dirty ring"));
  const uint32_t limit = TERN_TRY(kvm_dirty_ring_limit(vm.vm_fd));
  if (vcpu_fds.empty()) return Error(ErrorCode::invalid_argument, "KVM dirty ring: no vCPUs");
  if (!std::has_single_bit(entries) || entries > limit) {
    return Error(ErrorCode::invalid_argument,
                 "KVM dirty ring: not the number of its entries: " + std::to_string(entries));
  }
  auto rings = std::make_unique<KernelRings>(vm.vm_fd);
  for (const int fd : vcpu_fds) TERN_TRY(rings->map(fd, entries));
  TERN_TRY(rings->check().context("the VM's dirty rings"));
  log.log(LogLevel::debug, "dirty tracking by KVM's dirty rings: " + std::to_string(entries) +
                               " entries for each of " + std::to_string(vcpu_fds.size()) +
                               " vCPUs");
  return std::unique_ptr<KvmRingTracker>(
      std::make_unique<KvmRings>(vm.slots, std::move(rings), log));
}

}  // namespace tern
