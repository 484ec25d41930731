// SPDX-License-Identifier: Apache-2.0
//
// Against a real KVM guest, in every combination of manual protection that the kernel offers.

#include "ram/dirty/kvm_bitmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/ram/dirty/kvm_guest.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::dirty_pages;
using test::harvest_pages;
using test::kPage;
using test::KvmGuest;
using test::Shadow;
using test::TestRam;

using Pages = std::vector<uint64_t>;

constexpr uint64_t kManual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
constexpr uint64_t kInitiallySet = KVM_DIRTY_LOG_INITIALLY_SET;

// One block in two slots that do not meet at a multiple of 64 pages, so that log words straddle
// bitmap words.
constexpr uint64_t kPages = 1024;
constexpr uint64_t kSplit = 261;
std::vector<KvmSlot> split_slots() {
  return {{.slot = 0, .block = 0, .offset = 0, .bytes = kSplit * kPage, .gpa = 0},
          {.slot = 1,
           .block = 0,
           .offset = kSplit * kPage,
           .bytes = (kPages - kSplit) * kPage,
           .gpa = kSplit * kPage}};
}

Pages range(uint64_t first, uint64_t last) {
  Pages pages;
  for (uint64_t page = first; page < last; ++page) pages.push_back(page);
  return pages;
}

class KvmBitmap : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    const std::string missing = KvmGuest::unavailable();
    if (!missing.empty()) GTEST_SKIP() << missing;
    ram_ = std::make_unique<TestRam>(Backing::anonymous, kPages);
    guest_ = std::make_unique<KvmGuest>(ram_->blocks(), split_slots());
    const uint64_t offered = probe_manual_protect(guest_->vm().vm_fd);
    if ((GetParam() & ~offered) != 0) GTEST_SKIP() << "this KVM has no such manual protection";
    tracker_ = std::make_unique<KvmBitmapTracker>(guest_->vm(), GetParam());
  }
  void TearDown() override {
    if (!tracker_) return;
    EXPECT_TRUE(tracker_->stop());
  }
  void start() {
    Result<void> started = tracker_->start(ram_->blocks());
    ASSERT_TRUE(started) << started.error().message();
  }
  void write_round(uint64_t first, uint64_t last) {
    guest_->set_range(first * kPage, last * kPage);
    guest_->run_round();
  }

  std::unique_ptr<TestRam> ram_;
  std::unique_ptr<KvmGuest> guest_;
  std::unique_ptr<KvmBitmapTracker> tracker_;
};

TEST_P(KvmBitmap, the_guests_writes_are_reported_once) {
  write_round(10, 500);
  start();
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
  write_round(100, 400);  // across both slots
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), range(100, 400));
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
  write_round(kSplit - 1, kSplit + 1);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), (Pages{kSplit - 1, kSplit}));
  write_round(kPages - 3, kPages);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), range(kPages - 3, kPages));
}

TEST_P(KvmBitmap, memory_the_guest_never_touched_is_caught_at_its_first_write) {
  start();
  write_round(700, 703);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), range(700, 703));
}

TEST_P(KvmBitmap, a_copy_fed_by_harvests_equals_ram_of_a_guest_at_full_speed) {
  start();
  Shadow shadow(*ram_);
  guest_->set_range(16 * kPage, kPages * kPage);
  guest_->run_free();
  uint64_t copied = 0;
  while (guest_->rounds() < 100 && !HasFailure()) copied += shadow.update(*tracker_);
  guest_->end();
  copied += shadow.update(*tracker_);
  EXPECT_EQ(shadow.stale(), Pages{});
  EXPECT_GT(copied, 0u);
  EXPECT_EQ(shadow.update(*tracker_), 0u);
}

TEST_P(KvmBitmap, what_the_host_writes_must_be_told_and_then_is_reported) {
  start();
  ram_->write(30, 1);
  tracker_->mark(0, 31 * kPage, 1);
  write_round(32, 33);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), (Pages{31, 32}));
}

TEST_P(KvmBitmap, starts_again_after_stop_and_reports_only_what_is_new) {
  for (uint64_t cycle = 0; cycle < 3; ++cycle) {
    start();
    write_round(50 + cycle, 51 + cycle);
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{50 + cycle});
    write_round(70, 80);
    ASSERT_TRUE(tracker_->stop());
    ASSERT_TRUE(tracker_->stop());
    write_round(80, 90);
  }
}

TEST_P(KvmBitmap, wrong_order_and_wrong_bitmap_are_refused) {
  DirtyBitmap map(ram_->blocks());
  EXPECT_EQ(tracker_->harvest(map).error().code(), ErrorCode::failed_precondition);
  start();
  EXPECT_EQ(tracker_->start(ram_->blocks()).error().code(), ErrorCode::failed_precondition);
  DirtyBitmap other;
  EXPECT_EQ(tracker_->harvest(other).error().code(), ErrorCode::invalid_argument);
}

TEST_P(KvmBitmap, a_slot_the_kernel_does_not_know_is_an_error_and_logging_is_off_again) {
  std::vector<KvmSlot> slots = split_slots();
  slots[1].gpa += kPage;  // the slot exists, but elsewhere
  slots[1].offset += kPage;
  slots[1].bytes -= kPage;
  KvmVm vm{.vm_fd = guest_->vm().vm_fd, .slots = slots};
  KvmBitmapTracker wrong(vm, GetParam());
  Result<void> started = wrong.start(ram_->blocks());
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().sys_errno(), 0);
  EXPECT_NE(started.error().message().find("KVM slot 1"), std::string::npos);
  start();
  write_round(5, 6);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{5});
}

TEST_P(KvmBitmap, its_name_says_whether_protection_is_manual) {
  EXPECT_EQ(tracker_->name(), GetParam() == 0 ? "kvm-bitmap" : "kvm-bitmap-manual");
}

std::string name_param(const testing::TestParamInfo<uint64_t>& info) {
  if (info.param == 0) return "plain";
  return info.param == kManual ? "manual" : "manual_initially_set";
}

INSTANTIATE_TEST_SUITE_P(Protection, KvmBitmap,
                         testing::Values(uint64_t{0}, kManual, kManual | kInitiallySet),
                         name_param);

class MakeKvmBitmap : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = KvmGuest::unavailable();
    if (!missing.empty()) GTEST_SKIP() << missing;
    ram_ = std::make_unique<TestRam>(Backing::anonymous, kPages);
    guest_ = std::make_unique<KvmGuest>(ram_->blocks(), split_slots());
  }
  std::unique_ptr<TestRam> ram_;
  std::unique_ptr<KvmGuest> guest_;
};

TEST_F(MakeKvmBitmap, a_tracker_uses_manual_protection_where_it_is_offered) {
  Result<std::unique_ptr<DirtyTracker>> tracker = make_kvm_bitmap_tracker(guest_->vm(), null_log());
  ASSERT_TRUE(tracker) << tracker.error().message();
  const bool manual = probe_manual_protect(guest_->vm().vm_fd) != 0;
  EXPECT_EQ((*tracker)->name(), manual ? "kvm-bitmap-manual" : "kvm-bitmap");
  EXPECT_FALSE((*tracker)->needs_service());
}

TEST_F(MakeKvmBitmap, slots_that_make_no_sense_are_refused_by_name) {
  struct Case {
    const char* why;
    KvmSlot slot;
  };
  const Case cases[] = {
      {"empty", {.slot = 3}},
      {"odd length", {.slot = 3, .bytes = 100}},
      {"odd offset", {.slot = 3, .offset = 1, .bytes = kPage}},
      {"odd address", {.slot = 3, .bytes = kPage, .gpa = 8}},
      {"logging already", {.slot = 3, .flags = KVM_MEM_LOG_DIRTY_PAGES, .bytes = kPage}},
  };
  for (const Case& c : cases) {
    const KvmVm vm{.vm_fd = guest_->vm().vm_fd, .slots = {&c.slot, 1}};
    Result<std::unique_ptr<DirtyTracker>> made = make_kvm_bitmap_tracker(vm, null_log());
    ASSERT_FALSE(made) << c.why;
    EXPECT_EQ(made.error().code(), ErrorCode::invalid_argument) << c.why;
    EXPECT_NE(made.error().message().find("KVM slot 3"), std::string::npos) << c.why;
  }
}

TEST_F(MakeKvmBitmap, a_descriptor_that_is_no_vm_is_refused) {
  const std::vector<KvmSlot> slots = split_slots();
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(make_kvm_bitmap_tracker({.vm_fd = null.get(), .slots = slots}, null_log()));
  EXPECT_FALSE(make_kvm_bitmap_tracker({.vm_fd = -1, .slots = slots}, null_log()));
  EXPECT_FALSE(make_kvm_bitmap_tracker({.vm_fd = guest_->vm().vm_fd, .slots = {}}, null_log()));
}

TEST_F(MakeKvmBitmap, slots_outside_their_block_are_refused_at_start) {
  for (const KvmSlot& slot :
       {KvmSlot{.slot = 0, .block = 1, .bytes = kPage},
        KvmSlot{.slot = 0, .offset = kPages * kPage, .bytes = kPage},
        KvmSlot{.slot = 0, .offset = ~uint64_t{0} / kPage * kPage, .bytes = 2 * kPage}}) {
    const KvmVm vm{.vm_fd = guest_->vm().vm_fd, .slots = {&slot, 1}};
    Result<std::unique_ptr<DirtyTracker>> made = make_kvm_bitmap_tracker(vm, null_log());
    ASSERT_TRUE(made);
    Result<void> started = (*made)->start(ram_->blocks());
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code(), ErrorCode::invalid_argument);
  }
}

TEST_F(MakeKvmBitmap, a_slot_of_several_clearing_chunks_is_tracked_to_its_last_page) {
  // Three chunks, the last one partial and no multiple of 64 pages.
  const uint64_t pages = 2 * KvmBitmapTracker::kClearPages + 100;
  const TestRam ram(Backing::anonymous, pages);
  std::vector<KvmSlot> slots{{.slot = 0, .bytes = pages * kPage}};
  KvmGuest guest(ram.blocks(), slots);
  Result<std::unique_ptr<DirtyTracker>> made = make_kvm_bitmap_tracker(guest.vm(), null_log());
  ASSERT_TRUE(made);
  Result<void> started = (*made)->start(ram.blocks());
  ASSERT_TRUE(started) << started.error().message();
  const uint64_t chunk = KvmBitmapTracker::kClearPages;
  Pages written;
  for (uint64_t page : {chunk - 1, chunk, 2 * chunk - 1, 2 * chunk, pages - 1}) {
    guest.set_range(page * kPage, (page + 1) * kPage);
    guest.run_round();
    written.push_back(page);
  }
  EXPECT_EQ(harvest_pages(**made, ram.blocks()), written);
  EXPECT_EQ(harvest_pages(**made, ram.blocks()), Pages{});
}

TEST(OrBitsAt, agrees_with_setting_single_bits) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t page = random() % 300;
    const uint64_t bits = random() & random();
    BlockBitmap by_word(320);
    BlockBitmap by_bit(320);
    for (uint64_t b = 0; b < 64; ++b) {
      if ((bits >> b & 1) != 0) by_bit.set(page + b);
    }
    ASSERT_EQ(or_bits_at(by_word, page, bits), by_bit.count());
    ASSERT_TRUE(std::ranges::equal(by_word.words(), by_bit.words()));
  }
}

}  // namespace
}  // namespace tern
