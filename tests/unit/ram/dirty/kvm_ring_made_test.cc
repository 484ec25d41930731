// SPDX-License-Identifier: Apache-2.0
//
// The collecting against rings laid out like the kernel's, where every entry can be made, and what
// a KVM that lets a vCPU write past the end does. A real KVM: kvm_ring_test.cc.

#include "ram/dirty/kvm_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::kPage;
using test::Service;
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
        if (done == interrupt_at) {
          interrupt_at = UINT64_MAX;
          in_reset();
          if (!interrupt_in_between && flags(v, reset_[v]).load() != KVM_DIRTY_GFN_F_RESET) break;
        }
        flags(v, reset_[v]++).store(0);
        EXPECT_LE(reset_[v], published_[v]) << "the kernel takes the ring for full for ever";
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
  /// Called when so many entries were reset: what the guest does meanwhile.
  uint64_t interrupt_at = UINT64_MAX;
  std::function<void()> in_reset;
  bool interrupt_in_between = false;  // of looking at that entry and clearing it

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

TEST_F(KvmRingsMade, a_kernel_that_writes_past_the_end_in_the_middle_of_a_reset_loses_no_page) {
  for (const bool in_between : {false, true}) {
    for (const uint64_t given_back : {0, 1, 300, 899}) {
      for (const uint64_t too_many : {0, 1, 2, 28}) {
        SCOPED_TRACE(std::to_string(given_back) + " given back, " + std::to_string(too_many) +
                     " too many" + (in_between ? ", an entry cleared" : ""));
        start();
        for (uint64_t i = 0; i < 900; ++i) ASSERT_TRUE(kernel_->publish(1, 2, 10 + i));
        kernel_->interrupt_at = given_back;
        kernel_->interrupt_in_between = in_between;
        kernel_->in_reset = [&] {
          while (kernel_->used(1) < kEntries + too_many) {
            kernel_->publish_anyway(1, 2, kernel_->used(1) == kEntries ? 7 : 8);
          }
        };
        DirtyBitmap map(ram_.blocks());
        ASSERT_TRUE(rings_->harvest(map));
        EXPECT_TRUE(too_many == 0 || map.block(0).test(7)) << "also if there is no other harvest";
        for (int tries = 0; kernel_->used(1) > kEntries / 2; ++tries) {
          ASSERT_LT(tries, 20) << "kept out";
          ASSERT_TRUE(rings_->ring_full(1));
        }
        ASSERT_TRUE(rings_->harvest(map));
        for (uint64_t lap = 0; lap < 100; ++lap) {
          Pages written;
          for (uint64_t i = 0; i <= lap * 5; ++i) {
            ASSERT_TRUE(kernel_->publish(1, 2, i)) << "lap " << lap;
            written.push_back(i);
          }
          ASSERT_EQ(harvest_pages(*rings_, ram_.blocks()), written) << "lap " << lap;
          ASSERT_LE(kernel_->used(1), 1u) << "an entry that was cleared waits for one behind it";
        }
        ASSERT_TRUE(rings_->stop());
      }
    }
  }
}

/// Plays a kernel that notices late that a ring is full: its vCPU writes and publishes so many
/// pages at a time, whatever becomes of those that nobody has read, while others read and reset.
class LateKernel final : public RingHost {
 public:
  std::vector<std::span<kvm_dirty_gfn>> rings() noexcept override { return {entries_}; }
  Result<uint64_t> reset() noexcept override {
    uint64_t done = 0;
    while (flags(reset_).load(std::memory_order_acquire) == KVM_DIRTY_GFN_F_RESET) {
      flags(reset_).store(0, std::memory_order_release);  // as the kernel: looks, then clears
      ++reset_;
      ++done;
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);  // the kernel's lock, before it returns
    return done;
  }
  Result<void> set_logging(const KvmSlot&, const RamBlock&, bool) noexcept override { return {}; }

  bool full() const { return static_cast<int64_t>(published_ - reset_) >= 448; }
  /// More given back than written: to a kernel that counts without a sign that is full for ever.
  bool lost_count() const { return static_cast<int64_t>(published_ - reset_) < 0; }
  void write(uint64_t page) {
    contents_[page].fetch_add(1, std::memory_order_relaxed);
    kvm_dirty_gfn& entry = entries_[published_ % kEntries];
    std::atomic_ref<uint32_t>(entry.slot).store(2, std::memory_order_relaxed);
    std::atomic_ref<__u64>(entry.offset).store(page, std::memory_order_relaxed);
    flags(published_).store(KVM_DIRTY_GFN_F_DIRTY, std::memory_order_release);
    ++published_;
  }
  uint64_t content(uint64_t page) const { return contents_[page].load(); }

 private:
  std::atomic_ref<uint32_t> flags(uint64_t index) {
    return std::atomic_ref<uint32_t>(entries_[index % kEntries].flags);
  }
  std::vector<kvm_dirty_gfn> entries_ = std::vector<kvm_dirty_gfn>(kEntries);
  std::atomic<uint64_t> published_ = 0;
  std::atomic<uint64_t> reset_ = 0;
  std::array<std::atomic<uint64_t>, 2048> contents_{};
};

TEST(LateKvmRings, lose_no_page_whatever_meets) {
  const TestRam ram(Backing::anonymous, 2048);
  const std::vector<KvmSlot> slots{{.slot = 2, .block = 0, .offset = 0, .bytes = 2048 * kPage}};
  auto made = std::make_unique<LateKernel>();
  LateKernel& kernel = *made;
  KvmRings rings(slots, std::move(made), null_log());
  ASSERT_TRUE(rings.start(ram.blocks()));
  Service service(rings);
  std::array<uint64_t, 2048> copy{};
  std::atomic<bool> ended = false;
  std::jthread vcpu([&] {
    std::mt19937 random(7);
    for (int burst = 0; burst < 2000 && !kernel.lost_count(); ++burst) {
      while (kernel.full() && !kernel.lost_count()) EXPECT_TRUE(rings.ring_full(0));
      for (uint64_t n = random() % 900; n != 0; --n) kernel.write(random() % 2048);
    }
    ended = true;
  });
  DirtyBitmap dirty(ram.blocks());
  const auto harvest = [&] {
    const auto got = rings.harvest(dirty);
    ASSERT_TRUE(got) << got.error().message();
    for (uint64_t page = 0; page < 2048; ++page) {
      if (dirty.block(0).test(page)) copy[page] = kernel.content(page);
    }
    dirty.clear_all();
  };
  while (!ended) harvest();
  vcpu.join();
  harvest();
  EXPECT_FALSE(kernel.lost_count());
  uint64_t stale = 0;
  for (uint64_t page = 0; page < 2048; ++page) stale += copy[page] != kernel.content(page) ? 1 : 0;
  EXPECT_EQ(stale, 0u);
  EXPECT_EQ(service.end(), "");
}

}  // namespace
}  // namespace tern
