// SPDX-License-Identifier: Apache-2.0
//
// What only the asynchronous way promises. What both promise is in write_protect_test.cc.

#include "ram/dirty/wp_async.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "ram/dirty/write_protect.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::kPage;
using test::TestRam;

using Pages = std::vector<uint64_t>;

class WpAsync : public testing::Test {
 protected:
  void SetUp() override {
    const WriteProtectSupport support = probe_write_protect();
    Result<WriteProtectMode> can = choose_write_protect_mode(WriteProtectMode::async, support);
    if (!can) GTEST_SKIP() << can.error().message();
    tracker_.emplace(support.uffd.features);
  }
  std::optional<WpAsyncTracker> tracker_;
};

uint64_t page_table_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmPTE:")) return std::stoull(line.substr(6));
  }
  return 0;
}

Pages range(uint64_t first, uint64_t count) {
  Pages pages;
  for (uint64_t i = 0; i < count; ++i) pages.push_back(first + i);
  return pages;
}

TEST_F(WpAsync, untouched_memory_costs_no_page_tables) {
  const TestRam ram(Backing::anonymous, 1 << 20);  // 4 GiB would take 8 MiB of page tables
  ram.write(12345, 1);
  const uint64_t before = page_table_kib();
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{});
  EXPECT_LT(page_table_kib() - before, 1024u);
}

TEST_F(WpAsync, a_page_that_is_thrown_away_is_reported_because_it_is_zeros_now) {
  const TestRam ram(Backing::anonymous, 4096);
  ram.write_all(7);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  ASSERT_EQ(::madvise(ram.page(3), kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{3});
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{});
  ASSERT_EQ(::madvise(ram.page(1024), 1024 * kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), range(1024, 1024));
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{});
  ram.write(1024, 8);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{1024});
  ASSERT_EQ(::madvise(ram.page(1024), kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{1024});
}

TEST_F(WpAsync, a_page_thrown_away_and_written_again_is_reported) {
  const TestRam ram(Backing::anonymous, 64);
  ram.write_all(7);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  ASSERT_EQ(::madvise(ram.page(3), 2 * kPage, MADV_DONTNEED), 0);
  ram.write(3, 8);
  EXPECT_EQ(ram.read(4), 0u);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), (Pages{3, 4}));
}

TEST_F(WpAsync, random_writes_and_discards_leave_no_page_behind_and_report_no_other) {
  constexpr uint64_t kPages = 3000;
  const TestRam ram(Backing::anonymous, kPages);
  std::mt19937_64 random(5);
  std::vector<uint64_t> content(kPages);  // what the guest sees
  std::vector<uint64_t> copy(kPages);     // what a destination has
  std::vector<bool> touched(kPages);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  for (uint64_t step = 1; step < 300; ++step) {
    std::vector<bool> expected(kPages);
    for (uint64_t op = random() % 12; op > 0; --op) {
      const uint64_t first = random() % kPages;
      const uint64_t count = std::min(random() % 2 == 0 ? 1 : random() % 700, kPages - first);
      const bool discard = random() % 3 == 0;
      if (discard) {
        ASSERT_EQ(::madvise(ram.page(first), count * kPage, MADV_DONTNEED), 0);
      }
      for (uint64_t page = first; page < first + count; ++page) {
        if (!discard) ram.write(page, step);
        content[page] = discard ? 0 : step;
        // A discard of what was never there changes nothing.
        expected[page] = expected[page] || touched[page] || !discard;
        touched[page] = touched[page] || !discard;
      }
    }
    for (uint64_t page : harvest_pages(*tracker_, ram.blocks())) {
      ASSERT_TRUE(expected[page]) << "step " << step << " page " << page;
      copy[page] = content[page];
    }
    ASSERT_EQ(copy, content) << "step " << step;
  }
}

TEST_F(WpAsync, one_byte_of_a_transparent_huge_page_is_one_page) {
  const TestRam ram(Backing::anonymous_thp, 2048);
  ram.write_all(7);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  ram.write(1000, 8);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{1000});
}

TEST_F(WpAsync, memory_mapped_anew_is_an_error_and_never_nothing_dirty) {
  const TestRam ram(Backing::anonymous, 64);
  ram.write_all(7);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  ASSERT_EQ(::mmap(ram.page(8), 8 * kPage, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
            ram.page(8));
  ram.write(9, 1);
  DirtyBitmap map(ram.blocks());
  Result<uint64_t> harvested = tracker_->harvest(map);
  ASSERT_FALSE(harvested);
  EXPECT_EQ(harvested.error().sys_errno(), EPERM);
  EXPECT_NE(harvested.error().message().find("RAM block ram"), std::string::npos);
}

TEST_F(WpAsync, more_runs_than_one_scan_can_return_are_all_reported) {
  const TestRam ram(Backing::anonymous, 40000);
  ram.write_all(7);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  Pages odd;
  for (uint64_t page = 1; page < ram.pages(); page += 2) {
    ram.write(page, 8);
    odd.push_back(page);
  }
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), odd);
}

TEST_F(WpAsync, a_private_mapping_of_a_file_is_tracked) {
  const TestRam ram(Backing::private_file, 256);
  ASSERT_NE(ram.block().host, nullptr);
  ram.write(1, 5);
  ASSERT_TRUE(tracker_->start(ram.blocks()));
  EXPECT_EQ(ram.read(100), 0u);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), Pages{});
  ram.write(1, 6);
  ram.write(100, 6);
  ram.write(200, 6);
  EXPECT_EQ(harvest_pages(*tracker_, ram.blocks()), (Pages{1, 100, 200}));
}

TEST_F(WpAsync, shared_memory_described_as_private_is_refused) {
  TestRam ram(Backing::memfd, 64);
  ram.block().shared = false;
  EXPECT_EQ(tracker_->start(ram.blocks()).error().code(), ErrorCode::invalid_argument);
}

TEST_F(WpAsync, several_blocks_are_reported_each_in_its_own_map) {
  const TestRam a(Backing::anonymous, 64, "a");
  const TestRam b(Backing::memfd, 300, "b");
  const RamBlock blocks[] = {a.block(), b.block()};
  ASSERT_TRUE(tracker_->start(blocks));
  a.write(5, 1);
  b.write(299, 1);
  DirtyBitmap map(blocks);
  EXPECT_EQ(*tracker_->harvest(map), 2u);
  EXPECT_TRUE(map.block(0).test(5));
  EXPECT_TRUE(map.block(1).test(299));
}

}  // namespace
}  // namespace tern
