// SPDX-License-Identifier: Apache-2.0
//
// Dirty rings of a real KVM guest. They have 65536 entries, but for the last two tests: see what
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

constexpr uint64_t kPages = 4096;

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
  /// Twenty rounds of a guest at full speed, with the service and a harvester beside it.
  void copy_equals_ram() {
    start();
    Service service(*tracker_);
    Shadow shadow(*ram_);
    guest_->set_range(16 * kPage, kPages * kPage);
    guest_->on_ring_full([this] { EXPECT_TRUE(tracker_->ring_full(0)); });
    guest_->run_free();
    uint64_t copied = 0;
    while (guest_->rounds() < 20 && !HasFailure()) copied += shadow.update(*tracker_);
    guest_->end();
    copied += shadow.update(*tracker_);
    EXPECT_EQ(shadow.stale(), Pages{});
    EXPECT_GT(copied, 0u);
    EXPECT_EQ(service.end(), "");
    // A ring that is overrun goes on saying that all is dirty until its vCPU has called for help.
    if (tracker_->ring_full_exits(0) != 0) return;
    EXPECT_EQ(shadow.update(*tracker_), 0u);
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
  copy_equals_ram();
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

// With KVMs that let a vCPU write past the end, also in the middle of a reset
// (docs/dirty-tracking.md).
TEST_F(KvmRing, a_copy_equals_ram_although_the_ring_is_full_all_the_time) {
  make(1024);
  copy_equals_ram();
}

}  // namespace
}  // namespace tern
