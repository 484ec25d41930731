// SPDX-License-Identifier: Apache-2.0
//
// The choice of a mode, and what both modes promise alike, on every kind of memory this kernel can
// protect.

#include "ram/dirty/write_protect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "ram/holes.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::HugePages;
using test::kPage;
using test::Service;
using test::Shadow;
using test::TestRam;
using test::Writer;

using Pages = std::vector<uint64_t>;

WriteProtectSupport support_of(uint64_t features, bool scan) {
  WriteProtectSupport support;
  support.uffd.features = features;
  support.pagemap_scan = scan;
  return support;
}

constexpr uint64_t kLinux61 = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
constexpr uint64_t kLinux67 = kLinux61 | kUffdFeatureWpUnpopulated | kUffdFeatureWpAsync;

TEST(ChooseWriteProtectMode, automatic_is_async_where_the_kernel_has_both_parts_and_else_sync) {
  using enum WriteProtectMode;
  EXPECT_EQ(*choose_write_protect_mode(automatic, support_of(kLinux67, true)), async);
  EXPECT_EQ(*choose_write_protect_mode(automatic, support_of(kLinux67, false)), sync);
  EXPECT_EQ(*choose_write_protect_mode(automatic, support_of(kLinux61, false)), sync);
  EXPECT_EQ(*choose_write_protect_mode(async, support_of(kLinux67, true)), async);
  EXPECT_EQ(*choose_write_protect_mode(sync, support_of(kLinux67, true)), sync);
}

TEST(ChooseWriteProtectMode, what_is_missing_is_named) {
  using enum WriteProtectMode;
  Result<WriteProtectMode> no_async = choose_write_protect_mode(async, support_of(kLinux61, true));
  ASSERT_FALSE(no_async);
  EXPECT_EQ(no_async.error().code(), ErrorCode::unsupported);
  EXPECT_NE(no_async.error().message().find("asynchronous userfaultfd"), std::string::npos);
  Result<WriteProtectMode> no_scan = choose_write_protect_mode(async, support_of(kLinux67, false));
  ASSERT_FALSE(no_scan);
  EXPECT_NE(no_scan.error().message().find("PAGEMAP_SCAN"), std::string::npos);
  EXPECT_FALSE(choose_write_protect_mode(automatic, support_of(0, true)));
  WriteProtectSupport closed = support_of(kLinux67, true);
  closed.uffd.error = "userfaultfd: Operation not permitted";
  Result<WriteProtectMode> none = choose_write_protect_mode(automatic, closed);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("not permitted"), std::string::npos);
}

TEST(ProbeReport, has_a_line_for_every_feature_and_names_the_choice) {
  const std::string report = probe_report();
  EXPECT_NE(report.find("userfaultfd: "), std::string::npos) << report;
  EXPECT_NE(report.find("WP_ASYNC"), std::string::npos) << report;
  EXPECT_NE(report.find("PAGEMAP_SCAN: "), std::string::npos) << report;
  Result<std::unique_ptr<DirtyTracker>> tracker =
      make_write_protect_tracker(WriteProtectMode::automatic, null_log());
  const std::string chosen = tracker ? std::string((*tracker)->name()) : "none";
  EXPECT_NE(report.find("write-protect tracker: " + chosen), std::string::npos) << report;
}

class WriteProtect : public testing::TestWithParam<std::tuple<WriteProtectMode, Backing>> {
 protected:
  void SetUp() override {
    Result<WriteProtectMode> can = choose_write_protect_mode(mode(), probe_write_protect());
    if (!can) GTEST_SKIP() << can.error().message();
    if (backing() == Backing::huge_private || backing() == Backing::huge_shared) {
      huge_ = std::make_unique<HugePages>(8);
      const TestRam probe(backing(), 1024);
      if (probe.block().host == nullptr) GTEST_SKIP() << "the machine has no 2 MiB pages to give";
    }
    ram_ = std::make_unique<TestRam>(backing(), kPages);
    Result<std::unique_ptr<DirtyTracker>> made = make_write_protect_tracker(mode(), null_log());
    ASSERT_TRUE(made) << made.error().message();
    tracker_ = std::move(*made);
  }
  void TearDown() override {
    if (!tracker_) return;
    Result<void> stopped = tracker_->stop();
    EXPECT_TRUE(stopped) << stopped.error().message();
  }
  static WriteProtectMode mode() { return std::get<0>(GetParam()); }
  static Backing backing() { return std::get<1>(GetParam()); }
  /// What is reported when `pages` are written: whole pages of the mapping.
  Pages whole(const Pages& pages) const { return rounded(pages, ram_->block().page_bytes / kPage); }
  static Pages rounded(const Pages& pages, uint64_t step) {
    Pages result;
    for (uint64_t page : pages) {
      const uint64_t first = page / step * step;
      if (!result.empty() && result.back() >= first) continue;
      for (uint64_t i = 0; i < step; ++i) result.push_back(first + i);
    }
    return result;
  }
  /// What the first touch of `pages` reports: the kernel may fill a whole transparent huge page at
  /// once.
  Pages touched(const Pages& pages) const {
    const bool by_huge_page =
        backing() == Backing::anonymous_thp && mode() == WriteProtectMode::async;
    return by_huge_page ? rounded(pages, test::kHuge / kPage) : whole(pages);
  }
  void start() {
    Result<void> started = tracker_->start(ram_->blocks());
    ASSERT_TRUE(started) << started.error().message();
  }

  static constexpr uint64_t kPages = 2048;  // 8 MiB, 4 huge pages
  std::unique_ptr<HugePages> huge_;
  std::unique_ptr<TestRam> ram_;
  std::unique_ptr<DirtyTracker> tracker_;
};

TEST_P(WriteProtect, every_write_is_reported_once) {
  ram_->write_all(1);
  start();
  Service service(*tracker_);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
  const Pages written{0, 5, 6, 63, 64, 700, kPages - 1};
  for (uint64_t page : written) ram_->write(page, 2);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole(written));
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
  for (uint64_t page : written) ram_->write(page, 3);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole(written));
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, reading_what_is_there_is_not_reported) {
  ram_->write_all(1);
  start();
  Service service(*tracker_);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kPages; ++i) sum += ram_->read(i);
  EXPECT_EQ(sum, kPages);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), Pages{});
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, the_first_write_to_untouched_memory_is_reported_every_time) {
  start();
  Service service(*tracker_);
  ram_->write(100, 1);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), touched({100}));
  ram_->write(100, 2);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({100}));
  ram_->write(1500, 2);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), touched({1500}));
  EXPECT_EQ(ram_->read(1999), 0u);  // read first: whatever that reports,
  harvest_pages(*tracker_, ram_->blocks());
  ram_->write(1999, 3);  // the write after it is reported
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({1999}));
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, a_system_call_that_writes_into_ram_is_reported) {
  ram_->write_all(1);
  start();
  Service service(*tracker_);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd out(ends[0]);
  const Fd in(ends[1]);
  const std::string text = "written by the kernel";
  ASSERT_EQ(::write(in.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::read(out.get(), ram_->page(1000), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(std::memcmp(ram_->page(1000), text.data(), text.size()), 0);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({1000}));
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, a_copy_fed_by_harvests_equals_ram_that_is_written_at_full_speed) {
  start();
  Service service(*tracker_);
  Shadow shadow(*ram_);
  Writer one(*ram_, 1);
  Writer two(*ram_, 2);
  uint64_t copied = 0;
  for (int round = 0; round < 30; ++round) copied += shadow.update(*tracker_);
  while (one.writes() < 5000 || two.writes() < 5000) copied += shadow.update(*tracker_);
  one.end();
  two.end();
  copied += shadow.update(*tracker_);
  EXPECT_EQ(shadow.stale(), Pages{});
  EXPECT_GT(copied, 0u);
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, nothing_is_lost_when_few_pages_are_written_and_harvested_all_the_time) {
  // Every page is in the hands of writers, service and harvest at once: the closest they can get.
  const uint64_t pages = ram_->block().page_bytes / kPage * 2;
  TestRam small(backing(), pages);
  Result<void> started = tracker_->start(small.blocks());
  ASSERT_TRUE(started) << started.error().message();
  Service service(*tracker_);
  Shadow shadow(small);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Writer one(small, seed);
    Writer two(small, seed + 100);
    uint64_t copied = 0;
    while (copied < 50 * pages) {
      copied += shadow.update(*tracker_);
      std::this_thread::yield();
    }
    one.end();
    two.end();
    shadow.update(*tracker_);
    ASSERT_EQ(shadow.stale(), Pages{}) << "seed " << seed;
    // And no page was left writable behind the tracker's back.
    small.write_all(seed);
    ASSERT_EQ(shadow.update(*tracker_), pages) << "seed " << seed;
  }
  EXPECT_TRUE(tracker_->stop());
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, marks_are_in_the_next_harvest) {
  ram_->write_all(1);
  start();
  Service service(*tracker_);
  tracker_->mark(0, 9 * kPage + 10, kPage);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), (Pages{9, 10}));
  ram_->write(9, 2);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({9}));
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, starts_again_after_stop_and_reports_only_what_is_new) {
  ram_->write_all(1);
  for (uint64_t cycle = 0; cycle < 3; ++cycle) {
    start();
    Service service(*tracker_);
    ram_->write(40 + cycle, 1);
    EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({40 + cycle}));
    ram_->write(600, cycle);
    EXPECT_EQ(service.end(), "");
    ASSERT_TRUE(tracker_->stop());
    ASSERT_TRUE(tracker_->stop());
    ram_->write(700, 5);
    EXPECT_EQ(ram_->read(700), 5u);
  }
}

TEST_P(WriteProtect, wrong_order_and_wrong_bitmap_are_refused) {
  DirtyBitmap map(ram_->blocks());
  EXPECT_EQ(tracker_->harvest(map).error().code(), ErrorCode::failed_precondition);
  start();
  EXPECT_EQ(tracker_->start(ram_->blocks()).error().code(), ErrorCode::failed_precondition);
  DirtyBitmap other;
  EXPECT_EQ(tracker_->harvest(other).error().code(), ErrorCode::invalid_argument);
  RamBlock odd = ram_->block();
  odd.used_bytes -= 1;
  ASSERT_TRUE(tracker_->stop());
  EXPECT_EQ(tracker_->start({&odd, 1}).error().code(), ErrorCode::invalid_argument);
}

TEST_P(WriteProtect, memory_that_another_tracker_has_is_refused_by_name_and_left_to_it) {
  ram_->write_all(1);
  start();
  Service service(*tracker_);
  Result<std::unique_ptr<DirtyTracker>> second = make_write_protect_tracker(mode(), null_log());
  ASSERT_TRUE(second);
  Result<void> started = (*second)->start(ram_->blocks());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), ErrorCode::failed_precondition);
  EXPECT_NE(started.error().message().find("RAM block ram"), std::string::npos);
  ram_->write(3, 2);
  EXPECT_EQ(harvest_pages(*tracker_, ram_->blocks()), whole({3}));
  EXPECT_EQ(service.end(), "");
}

TEST_P(WriteProtect, holes_are_still_found_while_it_tracks) {
  ram_->write(10, 1);
  ram_->write(1030, 1);
  start();
  Service service(*tracker_);
  DirtyBitmap populated(ram_->blocks());
  Result<std::string_view> method = find_populated(ram_->blocks(), populated);
  ASSERT_TRUE(method) << method.error().message();
  RecordProperty("method", std::string(*method));
  // The kernel's markers look like swapped pages: sync mode needs them in private mappings of
  // shared memory.
  const bool markers = mode() == WriteProtectMode::sync && backing() == Backing::private_memfd;
  const bool can_tell = *method != "all" && !markers;
  const uint64_t step =
      backing() == Backing::anonymous_thp ? 512 : ram_->block().page_bytes / kPage;
  EXPECT_EQ(populated.count(), can_tell ? 2 * step : kPages);
  EXPECT_EQ(service.end(), "");
}

std::string name_param(const testing::TestParamInfo<WriteProtect::ParamType>& info) {
  const bool async = std::get<0>(info.param) == WriteProtectMode::async;
  return std::string(async ? "async_" : "sync_") + test::name_of(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    EveryMemory, WriteProtect,
    testing::Combine(testing::Values(WriteProtectMode::async, WriteProtectMode::sync),
                     testing::Values(Backing::anonymous, Backing::anonymous_thp,
                                     Backing::shared_anonymous, Backing::memfd,
                                     Backing::private_memfd, Backing::huge_private,
                                     Backing::huge_shared)),
    name_param);

}  // namespace
}  // namespace tern
