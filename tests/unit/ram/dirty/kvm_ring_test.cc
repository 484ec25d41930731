// SPDX-License-Identifier: Apache-2.0
//
// The collecting against rings laid out like the kernel's, where every entry can be made; the rest
// against a real KVM guest. Rings there have 65536 entries, but for the last test: see what
// docs/dirty-tracking.md says of rings that were full.

#include "ram/dirty/kvm_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/ram/dirty/kvm_guest.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::kPage;
using test::KvmGuest;
using test::Service;
using test::Shadow;
using test::TestRam;

using Pages = std::vector<uint64_t>;

constexpr uint32_t kEntries = 1024;

/// Plays the kernel: publishes entries, and resets those that were noted.
class MadeRings final : public RingHost {
 public:
  explicit MadeRings(size_t vcpus) : memory_(vcpus, std::vector<kvm_dirty_gfn>(kEntries)) {
    published_.resize(vcpus);
    reset_.resize(vcpus);
  }
  std::vector<std::span<kvm_dirty_gfn>> rings() noexcept override {
    return {memory_.begin(), memory_.end()};
  }
  Result<uint64_t> reset() noexcept override {
    if (fail_reset) return Error(ErrorCode::internal, "no reset");
    uint64_t done = 0;
    for (size_t v = 0; v < memory_.size(); ++v) {
      for (; flags(v, reset_[v]).load() == KVM_DIRTY_GFN_F_RESET; ++done) {
        flags(v, reset_[v]++).store(0);
      }
    }
    ++resets;
    return done;
  }
  Result<void> set_logging(const KvmSlot& slot, const RamBlock&, bool on) noexcept override {
    if (on && slot.slot == refuse_slot) return Error(ErrorCode::unsupported, "no logging");
    logging += on ? 1 : -1;
    return {};
  }
  /// false: the ring is full.
  uint64_t used(size_t vcpu) const { return published_[vcpu] - reset_[vcpu]; }
  bool publish(size_t vcpu, uint32_t slot, uint64_t offset) {
    if (used(vcpu) >= kEntries) return false;
    publish_anyway(vcpu, slot, offset);
    return true;
  }
  void publish_anyway(size_t vcpu, uint32_t slot, uint64_t offset) {
    kvm_dirty_gfn& entry = memory_[vcpu][published_[vcpu] % kEntries];
    entry.slot = slot;
    entry.offset = offset;
    flags(vcpu, published_[vcpu]++).store(KVM_DIRTY_GFN_F_DIRTY);
  }

  std::atomic<int> resets = 0;
  int logging = 0;
  uint32_t refuse_slot = 99;
  bool fail_reset = false;

 private:
  std::atomic_ref<uint32_t> flags(size_t vcpu, uint64_t index) {
    return std::atomic_ref<uint32_t>(memory_[vcpu][index % kEntries].flags);
  }
  std::vector<std::vector<kvm_dirty_gfn>> memory_;
  std::vector<uint64_t> published_;
  std::vector<uint64_t> reset_;
};

constexpr uint64_t kPages = 4096;
constexpr uint32_t kOtherSpace = 1 << 16 | 3;  // slot 3 of address space 1

class KvmRingsMade : public testing::Test {
 protected:
  KvmRingsMade() {
    // Out of order, and the second half of the block in another address space.
    const std::vector<KvmSlot> slots{
        {.slot = kOtherSpace, .block = 0, .offset = 2048 * kPage, .bytes = 2048 * kPage},
        {.slot = 2, .block = 0, .offset = 0, .bytes = 2048 * kPage}};
    auto made = std::make_unique<MadeRings>(2);
    kernel_ = made.get();
    rings_ = std::make_unique<KvmRings>(slots, std::move(made), null_log());
  }
  void start() {
    const auto started = rings_->start(ram_.blocks());
    ASSERT_TRUE(started) << started.error().message();
  }
  const TestRam ram_{Backing::anonymous, kPages};
  MadeRings* kernel_;
  std::unique_ptr<KvmRings> rings_;
};

TEST_F(KvmRingsMade, entries_become_pages_and_counts_of_their_vcpu) {
  start();
  EXPECT_EQ(kernel_->logging, 2);
  ASSERT_TRUE(kernel_->publish(0, 2, 7));
  ASSERT_TRUE(kernel_->publish(1, kOtherSpace, 0));
  ASSERT_TRUE(kernel_->publish(1, 2, 2047));
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), (Pages{7, 2047, 2048}));
  EXPECT_EQ(rings_->vcpu_dirty_pages(), (Pages{1, 2}));
  EXPECT_EQ(kernel_->resets, 1);
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{});
  EXPECT_EQ(kernel_->resets, 1);  // nothing to reset
  rings_->mark(0, 100 * kPage, 1);
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{100});
}

TEST_F(KvmRingsMade, a_page_that_kvm_names_again_and_again_counts_once) {
  start();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(kernel_->publish(0, 2, 7));
  ASSERT_TRUE(kernel_->publish(0, 2, 8));
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), (Pages{7, 8}));
  ASSERT_TRUE(kernel_->publish(0, 2, 8));  // protected anew in between
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{8});
  EXPECT_EQ(rings_->vcpu_dirty_pages(), (Pages{3, 0}));
}

TEST_F(KvmRingsMade, a_ring_goes_round) {
  start();
  uint64_t page = 0;
  for (int lap = 0; lap < 5; ++lap) {
    Pages written;
    for (int i = 0; i < 700; ++i, page = (page + 1) % 2048) {
      ASSERT_TRUE(kernel_->publish(0, 2, page));
      written.push_back(page);
    }
    std::ranges::sort(written);
    ASSERT_EQ(harvest_pages(*rings_, ram_.blocks()), written);
  }
  EXPECT_EQ(rings_->vcpu_dirty_pages(), (Pages{3500, 0}));
}

TEST_F(KvmRingsMade, a_full_ring_is_emptied_and_its_pages_are_in_the_next_harvest) {
  start();
  const uint64_t many = kEntries - 64;  // a vCPU is stopped before there is no entry left
  for (uint64_t i = 0; i < many; ++i) ASSERT_TRUE(kernel_->publish(1, 2, i));
  ASSERT_TRUE(rings_->ring_full(1));
  EXPECT_EQ(rings_->ring_full_exits(1), 1u);
  EXPECT_EQ(rings_->ring_full_exits(0), 0u);
  ASSERT_TRUE(kernel_->publish(1, kOtherSpace, 5));
  Pages all;
  for (uint64_t i = 0; i < many; ++i) all.push_back(i);
  all.push_back(2053);
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), all);
  EXPECT_FALSE(rings_->ring_full(2));
  EXPECT_EQ(rings_->ring_full_exits(2), 0u);
}

TEST_F(KvmRingsMade, what_was_written_while_nobody_tracked_is_not_reported) {
  ASSERT_TRUE(kernel_->publish(0, 2, 7));
  ASSERT_TRUE(rings_->ring_full(0));
  ASSERT_TRUE(kernel_->publish(0, 77, 8));
  start();
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{});
  EXPECT_EQ(rings_->vcpu_dirty_pages(), (Pages{0, 0}));
  ASSERT_TRUE(kernel_->publish(0, 2, 9));
  ASSERT_TRUE(rings_->stop());
  ASSERT_TRUE(rings_->stop());
  EXPECT_EQ(kernel_->logging, 0);
  start();
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{});
}

TEST_F(KvmRingsMade, an_entry_that_cannot_be_is_named_and_the_guest_still_goes_on) {
  struct Case {
    uint32_t slot;
    uint64_t offset;
    const char* text;
  };
  for (const Case& c :
       {Case{5, 0, "dirty ring of vCPU 1, entry 1: KVM slot 5 (address space 0) is not known"},
        Case{1 << 16 | 2, 0, "entry 4: KVM slot 2 (address space 1) is not known"},
        Case{2, 2048, "entry 7: KVM slot 2 (address space 0) has no page 2048"},
        Case{2, ~uint64_t{0}, "has no page 18446744073709551615"}}) {
    start();
    ASSERT_TRUE(kernel_->publish(1, 2, 1));
    ASSERT_TRUE(kernel_->publish(1, c.slot, c.offset));
    ASSERT_TRUE(kernel_->publish(1, 2, 1));
    DirtyBitmap map(ram_.blocks());
    const auto got = rings_->harvest(map);
    ASSERT_FALSE(got);
    EXPECT_NE(got.error().message().find(c.text), std::string::npos) << got.error().message();
    EXPECT_TRUE(rings_->ring_full(1));
    ASSERT_FALSE(rings_->harvest(map));  // pages were lost: from here on every one may be dirty
    std::stop_source never;
    EXPECT_FALSE(rings_->run_service(never.get_token()));
    ASSERT_TRUE(rings_->stop());
  }
}

TEST_F(KvmRingsMade, the_service_counts_at_once_and_resets_only_when_a_quarter_waits) {
  start();
  Service service(*rings_);
  for (uint64_t i = 0; i < kEntries / 4 - 1; ++i) ASSERT_TRUE(kernel_->publish(0, 2, i));
  while (rings_->vcpu_dirty_pages()[0] != kEntries / 4 - 1) std::this_thread::yield();
  EXPECT_EQ(kernel_->resets, 0);
  ASSERT_TRUE(kernel_->publish(0, 2, 2000));
  while (kernel_->resets == 0) std::this_thread::yield();
  DirtyBitmap map(ram_.blocks());
  const auto got = rings_->harvest(map);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, kEntries / 4);
  EXPECT_EQ(service.end(), "");
}

TEST_F(KvmRingsMade, a_vcpu_that_is_kept_out_for_nothing_ends_tracking_with_an_error) {
  start();
  for (int i = 0; i < 63; ++i) ASSERT_TRUE(rings_->ring_full(1));
  ASSERT_TRUE(kernel_->publish(1, 2, 3));
  ASSERT_TRUE(rings_->ring_full(1));  // there was something: counted anew
  for (int i = 0; i < 63; ++i) ASSERT_TRUE(rings_->ring_full(1));
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{3});
  ASSERT_TRUE(rings_->ring_full(1));
  DirtyBitmap map(ram_.blocks());
  const auto got = rings_->harvest(map);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message().find("the dirty ring of vCPU 1"), std::string::npos);
  EXPECT_EQ(got.error().code(), ErrorCode::internal);
}

TEST_F(KvmRingsMade, errors_of_the_kernel_are_passed_on) {
  kernel_->refuse_slot = kOtherSpace;
  EXPECT_FALSE(rings_->start(ram_.blocks()));
  EXPECT_EQ(kernel_->logging, 0);
  kernel_->refuse_slot = 99;
  start();
  EXPECT_FALSE(rings_->start(ram_.blocks()));
  kernel_->fail_reset = true;
  ASSERT_TRUE(kernel_->publish(0, 2, 1));
  EXPECT_FALSE(rings_->ring_full(0));
  DirtyBitmap map(ram_.blocks());
  EXPECT_FALSE(rings_->harvest(map));
  kernel_->fail_reset = false;
  DirtyBitmap none;
  EXPECT_FALSE(rings_->harvest(none));
  EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{1});
}

TEST_F(KvmRingsMade, a_kernel_that_writes_past_the_end_costs_time_but_no_page) {
  for (const uint64_t too_many : {0, 1, 28, 600}) {
    start();
    EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()), Pages{});
    for (uint64_t i = 0; i < kEntries + too_many; ++i) kernel_->publish_anyway(1, 2, i % 2048);
    DirtyBitmap all(ram_.blocks());
    ASSERT_TRUE(rings_->harvest(all));  // its vCPU still runs
    EXPECT_EQ(all.count(), kPages);
    // Kept out as long as more than a half counts, with nothing to tell.
    do {
      ASSERT_TRUE(rings_->ring_full(1));
    } while (kernel_->used(1) > kEntries / 2);
    EXPECT_EQ(harvest_pages(*rings_, ram_.blocks()).size(), kPages);
    // From here on it tells as before.
    for (uint64_t lap = 0; lap < 5; ++lap) {
      Pages written;
      for (uint64_t i = 0; i < 500; ++i) {
        ASSERT_TRUE(kernel_->publish(1, 2, i)) << too_many << " too many, lap " << lap;
        written.push_back(i);
      }
      ASSERT_EQ(harvest_pages(*rings_, ram_.blocks()), written);
    }
    ASSERT_TRUE(rings_->stop());
  }
}

class KvmRing : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = KvmGuest::unavailable();
    if (!missing.empty()) GTEST_SKIP() << missing;
    const Fd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    const Fd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
    const auto limit = kvm_dirty_ring_limit(vm.get());
    if (!limit) GTEST_SKIP() << limit.error().message();
    limit_ = *limit;
  }
  void make(uint32_t entries) {
    ram_ = std::make_unique<TestRam>(Backing::anonymous, kPages);
    guest_ = std::make_unique<KvmGuest>(
        ram_->blocks(), std::vector<KvmSlot>{{.slot = 1, .block = 0, .bytes = kPages * kPage}},
        entries);
    const int fds[] = {guest_->vcpu_fd()};
    auto made = make_kvm_ring_tracker(guest_->vm(), fds, entries, null_log());
    ASSERT_TRUE(made) << made.error().message();
    tracker_ = std::move(*made);
  }
  void start() {
    const auto started = tracker_->start(ram_->blocks());
    ASSERT_TRUE(started) << started.error().message();
  }
  void write_round(uint64_t first, uint64_t last) {
    guest_->set_range(first * kPage, last * kPage);
    guest_->run_round();
  }
  uint32_t limit_ = 0;
  std::unique_ptr<TestRam> ram_;
  std::unique_ptr<KvmGuest> guest_;
  std::unique_ptr<KvmRingTracker> tracker_;
};

TEST_F(KvmRing, the_guests_writes_are_reported_once_and_counted) {
  make(limit_);
  write_round(10, 500);
  for (int cycle = 0; cycle < 2; ++cycle) {
    start();
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
    write_round(100, 400);
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()).size(), 300u);
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
    write_round(kPages - 2, kPages);
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), (Pages{kPages - 2, kPages - 1}));
    EXPECT_EQ(tracker_->vcpu_dirty_pages(), Pages{302});
    ASSERT_TRUE(tracker_->stop());
    write_round(700, 800);
  }
  EXPECT_EQ(tracker_->ring_full_exits(0), 0u);
}

TEST_F(KvmRing, a_copy_fed_by_harvests_equals_ram_of_a_guest_at_full_speed) {
  make(limit_);
  start();
  Service service(*tracker_);
  Shadow shadow(*ram_);
  guest_->set_range(16 * kPage, kPages * kPage);
  guest_->run_free();
  uint64_t copied = 0;
  while (guest_->rounds() < 20 && !HasFailure()) copied += shadow.update(*tracker_);
  guest_->end();
  copied += shadow.update(*tracker_);
  EXPECT_EQ(shadow.stale(), Pages{});
  EXPECT_GT(copied, 0u);
  EXPECT_EQ(service.end(), "");
  EXPECT_EQ(shadow.update(*tracker_), 0u);
}

TEST_F(KvmRing, sizes_that_cannot_be_and_late_calls_are_refused) {
  make(limit_);
  for (const uint32_t entries : {0u, 512u, 1000u, 1025u, limit_ * 2}) {
    const auto enabled = enable_kvm_dirty_ring(guest_->vm().vm_fd, entries);
    ASSERT_FALSE(enabled) << entries;
    EXPECT_EQ(enabled.error().code(), ErrorCode::invalid_argument) << enabled.error().message();
  }
  const auto late = enable_kvm_dirty_ring(guest_->vm().vm_fd, 2048);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::failed_precondition) << late.error().message();
  EXPECT_FALSE(make_kvm_ring_tracker(guest_->vm(), {}, limit_, null_log()));
  const int fds[] = {guest_->vcpu_fd()};
  EXPECT_FALSE(make_kvm_ring_tracker(guest_->vm(), fds, 1000, null_log()));
  const KvmGuest plain(ram_->blocks(), {{.slot = 1, .block = 0, .bytes = kPages * kPage}});
  const int no_ring[] = {plain.vcpu_fd()};
  EXPECT_FALSE(make_kvm_ring_tracker(plain.vm(), no_ring, 1024, null_log()));
}

// The guest must come to its end and every page it wrote be reported, also by a KVM that lets it
// write past the end.
TEST_F(KvmRing, a_real_ring_that_is_full_loses_nothing) {
  make(1024);
  start();
  for (int round = 0; round < 5; ++round) {
    guest_->set_range(16 * kPage, kPages * kPage);
    int full = 0;
    uint32_t exit;
    while ((exit = guest_->run_to_exit()) == KVM_EXIT_DIRTY_RING_FULL && ++full < 10000) {
      ASSERT_TRUE(tracker_->ring_full(0));
    }
    ASSERT_EQ(exit, static_cast<uint32_t>(KVM_EXIT_IO)) << "still kept out after " << full;
    EXPECT_GT(full, 0);
    DirtyBitmap map(ram_->blocks());
    const auto got = tracker_->harvest(map);
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(map.block(0).next_run(16, kPages).count, kPages - 16) << "round " << round;
  }
}

// A known defect, with KVMs that let a vCPU write past the end: about once in thirty runs the vCPU
// is kept out in the end (docs/dirty-tracking.md). No write may be lost even then.
TEST_F(KvmRing, a_copy_equals_ram_although_the_ring_is_full_all_the_time) {
  make(1024);
  start();
  Service service(*tracker_);
  Shadow shadow(*ram_);
  guest_->set_range(16 * kPage, kPages * kPage);
  std::atomic<int> rounds = 0;
  std::jthread guest([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const uint32_t exit = guest_->run_to_exit();
      if (exit == KVM_EXIT_DIRTY_RING_FULL) {
        EXPECT_TRUE(tracker_->ring_full(0));
      } else {
        EXPECT_EQ(exit, static_cast<uint32_t>(KVM_EXIT_IO));
        ++rounds;
      }
    }
  });
  DirtyBitmap probe(ram_->blocks());
  std::string defect;
  while (rounds < 20 && defect.empty() && !HasFailure()) {
    const auto got = tracker_->harvest(probe);
    if (!got) {
      defect = got.error().message();
    } else {
      shadow.copy_all(probe);
    }
  }
  guest.request_stop();
  guest.join();
  if (defect.empty()) {
    const auto got = tracker_->harvest(probe);
    if (got) {
      shadow.copy_all(probe);
      EXPECT_EQ(shadow.stale(), Pages{});
    } else {
      defect = got.error().message();
    }
  }
  const std::string ended = service.end();
  if (defect.empty()) return;
  ASSERT_NE(defect.find("pages may have been missed"), std::string::npos) << defect << ended;
  GTEST_SKIP() << "known defect after " << rounds << " rounds: " << defect;
}

}  // namespace
}  // namespace tern
