// SPDX-License-Identifier: Apache-2.0
//
// What only the synchronous way promises: its service. What both promise is in
// write_protect_test.cc.

#include "ram/dirty/wp_sync.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ram/dirty/write_protect.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::Service;
using test::TestRam;

using Pages = std::vector<uint64_t>;

class WpSync : public testing::Test {
 protected:
  void SetUp() override {
    const WriteProtectSupport support = probe_write_protect();
    Result<WriteProtectMode> can = choose_write_protect_mode(WriteProtectMode::sync, support);
    if (!can) GTEST_SKIP() << can.error().message();
    tracker_ = std::make_unique<WpSyncTracker>(support.uffd.features, null_log());
  }
  std::unique_ptr<WpSyncTracker> tracker_;
};

TEST_F(WpSync, needs_a_service) {
  EXPECT_TRUE(tracker_->needs_service());
  EXPECT_EQ(tracker_->name(), "wp-sync");
}

TEST_F(WpSync, stop_lets_writers_go_on_that_nobody_served) {
  const TestRam ram(Backing::anonymous, 64);
  ram.write(1, 1);
  const TestRam shared(Backing::memfd, 64, "shared");
  const RamBlock blocks[] = {ram.block(), shared.block()};
  ASSERT_TRUE(tracker_->start(blocks));
  std::atomic<int> begun{0};
  std::atomic<int> done{0};
  const auto write = [&](const TestRam& to, uint64_t page) {
    begun.fetch_add(1);
    to.write(page, 5);
    done.fetch_add(1);
  };
  std::jthread protected_page(write, std::cref(ram), 1);
  std::jthread missing_page(write, std::cref(ram), 2);
  std::jthread shared_page(write, std::cref(shared), 3);
  while (begun.load() != 3) std::this_thread::yield();
  EXPECT_TRUE(tracker_->stop());
  protected_page.join();
  missing_page.join();
  shared_page.join();
  EXPECT_EQ(done.load(), 3);
  EXPECT_EQ(ram.read(1) + ram.read(2) + shared.read(3), 15u);
}

TEST_F(WpSync, writes_count_for_the_vcpu_whose_thread_made_them) {
  const TestRam ram(Backing::anonymous, 64);
  ram.write_all(1);
  std::atomic<int> round{0};
  std::atomic<int> done{0};
  std::atomic<int> ids[2]{};
  const auto vcpu = [&](int index) {
    ids[index] = ::gettid();
    for (int r = 1; r <= 2; ++r) {
      ++done;
      round.wait(r - 1);
      for (int page = 0; page < 5 * (index + 1); ++page) {
        ram.write(static_cast<uint64_t>(20 * index + page), 7);
      }
    }
    ++done;
  };
  std::jthread first(vcpu, 0);
  std::jthread second(vcpu, 1);
  while (done != 2) std::this_thread::yield();
  EXPECT_EQ(tracker_->vcpu_dirty_pages(), Pages{});
  EXPECT_FALSE(tracker_->counts_vcpus());
  const int known[] = {ids[1], ids[0]};  // thread 1 is vCPU 0
  tracker_->set_vcpu_threads(known);
  EXPECT_TRUE(tracker_->counts_vcpus());
  Service service(*tracker_);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  EXPECT_EQ(tracker_->vcpu_dirty_pages(), (Pages{0, 0}));
  ram.write(60, 2);  // nobody's
  ++round;
  round.notify_all();
  while (done != 4) std::this_thread::yield();
  EXPECT_EQ(tracker_->vcpu_dirty_pages(), (Pages{10, 5}));
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()).size(), 16u);
  ++round;
  round.notify_all();
  while (done != 6) std::this_thread::yield();
  EXPECT_EQ(tracker_->vcpu_dirty_pages(), (Pages{20, 10}));
  ASSERT_TRUE(tracker_->stop());
  EXPECT_EQ(tracker_->vcpu_dirty_pages(), Pages{});
  EXPECT_EQ(service.end(), "");
}

TEST_F(WpSync, the_service_may_begin_before_start_and_outlive_stop) {
  const TestRam ram(Backing::anonymous, 64);
  Service service(*tracker_);
  for (uint64_t cycle = 0; cycle < 50; ++cycle) {
    ASSERT_TRUE(tracker_->start(ram.blocks()));
    ram.write(cycle, cycle + 1);
    ASSERT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{cycle});
    ASSERT_TRUE(tracker_->stop());
  }
  EXPECT_EQ(service.end(), "");
}

TEST_F(WpSync, the_service_ends_when_asked_with_or_without_something_to_serve) {
  const TestRam ram(Backing::anonymous, 64);
  for (int i = 0; i < 50; ++i) {
    Service idle(*tracker_);
    EXPECT_EQ(idle.end(), "");
  }
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  for (int i = 0; i < 50; ++i) {
    Service service(*tracker_);
    EXPECT_EQ(service.end(), "");
  }
}

TEST_F(WpSync, a_service_asked_to_stop_before_it_begins_ends_at_once) {
  std::stop_source source;
  source.request_stop();
  EXPECT_TRUE(tracker_->run_service(source.get_token()));
}

TEST_F(WpSync, a_second_service_is_refused) {
  const TestRam ram(Backing::anonymous, 64);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  Service first(*tracker_);
  ram.write(1, 1);  // once this is through, the first one serves
  Result<void> second = tracker_->run_service({});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(first.end(), "");
}

TEST_F(WpSync, a_private_mapping_of_a_file_is_refused_by_name) {
  const TestRam ram(Backing::private_file, 16, "rom");
  if (test::is_tmpfs(ram.block().fd)) GTEST_SKIP() << "temporary files are on a tmpfs here";
  Result<void> started = tracker_->start(ram.blocks());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), ErrorCode::unsupported);
  EXPECT_NE(started.error().message().find("RAM block rom"), std::string::npos);
}

TEST_F(WpSync, a_block_refused_leaves_the_blocks_before_it_unprotected) {
  const TestRam good(Backing::anonymous, 16, "good");
  good.write_all(1);
  const TestRam bad(Backing::private_file, 16, "bad");
  if (test::is_tmpfs(bad.block().fd)) GTEST_SKIP() << "temporary files are on a tmpfs here";
  const RamBlock blocks[] = {good.block(), bad.block()};
  ASSERT_FALSE(tracker_->start(blocks));
  good.write(3, 9);  // would block for ever
  EXPECT_EQ(good.read(3), 9u);
  ASSERT_TRUE(tracker_->start(good.blocks()));
}

TEST_F(WpSync, the_first_touch_of_an_untouched_page_is_reported_even_if_it_is_a_read) {
  const TestRam ram(Backing::anonymous, 64);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  Service service(*tracker_);
  EXPECT_EQ(ram.read(7), 0u);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{7});
  EXPECT_EQ(ram.read(7), 0u);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{});
  EXPECT_EQ(service.end(), "");
}

TEST_F(WpSync, a_harvest_while_a_page_is_being_filled_does_not_leave_it_writable_unnoticed) {
  // Filling a huge page takes long enough for a harvest to come between its mark and its
  // appearance.
  constexpr uint64_t kHugePages = 4;
  constexpr uint64_t kStep = test::kHuge / test::kPage;
  const test::HugePages pool(kHugePages + 4);
  const TestRam ram(Backing::huge_private, kHugePages * kStep);
  if (ram.block().host == nullptr) GTEST_SKIP() << "the machine has no 2 MiB pages to give";
  for (int trial = 0; trial < 20; ++trial) {
    ASSERT_EQ(::madvise(ram.block().host, ram.block().used_bytes, MADV_DONTNEED), 0);
    ASSERT_TRUE(tracker_->start(ram.blocks()));
    Service service(*tracker_);
    std::atomic<bool> done{false};
    std::jthread writer([&] {
      for (uint64_t page = 0; page < kHugePages; ++page) ram.write(page * kStep, 1);
      done = true;
    });
    while (!done) harvest_pages(*tracker_, ram.blocks());
    writer.join();
    harvest_pages(*tracker_, ram.blocks());
    for (uint64_t page = 0; page < kHugePages; ++page) ram.write(page * kStep, 2);
    ASSERT_EQ(harvest_pages(*tracker_, ram.blocks()).size(), ram.pages()) << "trial " << trial;
    ASSERT_EQ(service.end(), "");
    ASSERT_TRUE(tracker_->stop());
  }
}

TEST_F(WpSync, several_blocks_are_reported_each_in_its_own_map) {
  const TestRam a(Backing::anonymous, 64, "a");
  const TestRam b(Backing::memfd, 9000, "b");
  const RamBlock blocks[] = {a.block(), b.block()};
  ASSERT_TRUE(tracker_->start(blocks));
  Service service(*tracker_);
  a.write(5, 1);
  b.write(8999, 1);
  DirtyBitmap map(blocks);
  EXPECT_EQ(*tracker_->harvest(map), 2u);
  EXPECT_TRUE(map.block(0).test(5));
  EXPECT_TRUE(map.block(1).test(8999));
  EXPECT_EQ(service.end(), "");
}

}  // namespace
}  // namespace tern
