// SPDX-License-Identifier: Apache-2.0

#include "ram/holes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "ram/dirty/pagemap.h"
#include "tern/dirty_tracker.h"
#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::dirty_pages;
using test::kPage;
using test::TestRam;

using Pages = std::vector<uint64_t>;

/// Pages of the mapping that are in memory, as the kernel sees it without touching them.
std::vector<unsigned char> resident(const TestRam& ram) {
  std::vector<unsigned char> pages(ram.pages());
  EXPECT_EQ(::mincore(ram.block().host, ram.block().used_bytes, pages.data()), 0);
  return pages;
}

bool can_scan() {
  Result<Pagemap> pagemap = Pagemap::open();
  return pagemap && pagemap->can_scan();
}

Pages found_by(PageTableMethod method, const TestRam& ram) {
  DirtyBitmap map(ram.blocks());
  Result<std::string_view> used = find_populated_by(method, ram.blocks(), map);
  EXPECT_TRUE(used) << used.error().message();
  return dirty_pages(map.block(0));
}

TEST(FindPopulated, pagemap_finds_touched_pages_of_anonymous_memory_and_touches_none) {
  const TestRam ram(Backing::anonymous, 5000);
  for (uint64_t page : {0u, 7u, 8u, 2047u, 2048u, 4999u}) ram.write(page, 1);
  const auto before = resident(ram);
  EXPECT_EQ(found_by(PageTableMethod::read, ram), (Pages{0, 7, 8, 2047, 2048, 4999}));
  EXPECT_EQ(resident(ram), before);
}

TEST(FindPopulated, pagemap_scan_finds_written_pages_and_not_those_only_read) {
  if (!can_scan()) GTEST_SKIP() << "the kernel has no PAGEMAP_SCAN";
  const TestRam ram(Backing::anonymous, 5000);
  for (uint64_t page : {0u, 7u, 8u, 2047u, 2048u, 4999u}) ram.write(page, 1);
  EXPECT_EQ(ram.read(3000), 0u);
  const auto before = resident(ram);
  EXPECT_EQ(found_by(PageTableMethod::scan, ram), (Pages{0, 7, 8, 2047, 2048, 4999}));
  EXPECT_EQ(resident(ram), before);
}

TEST(FindPopulated, memory_never_touched_has_nothing) {
  const TestRam ram(Backing::anonymous, 1 << 20);
  DirtyBitmap map(ram.blocks());
  Result<std::string_view> used = find_populated(ram.blocks(), map);
  ASSERT_TRUE(used);
  EXPECT_EQ(*used, can_scan() ? "pagemap-scan" : "pagemap");
  EXPECT_EQ(map.count(), 0u);
}

TEST(FindPopulated, a_file_mapping_has_what_anybody_wrote_to_the_file) {
  const TestRam ram(Backing::memfd, 1000);
  ram.write(10, 1);
  ASSERT_EQ(::pwrite(ram.block().fd, "x", 1, 500 * kPage + 17), 1);
  ASSERT_EQ(::lseek(ram.block().fd, 123, SEEK_SET), 123);
  const auto before = resident(ram);
  DirtyBitmap map(ram.blocks());
  Result<std::string_view> used = find_populated(ram.blocks(), map);
  ASSERT_TRUE(used);
  EXPECT_EQ(*used, "seek-data");
  EXPECT_EQ(dirty_pages(map.block(0)), (Pages{10, 500}));
  EXPECT_EQ(::lseek(ram.block().fd, 0, SEEK_CUR), 123) << "the embedder's position was moved";
  EXPECT_EQ(resident(ram), before);
}

TEST(FindPopulated, a_block_that_begins_inside_its_file_counts_from_there) {
  const TestRam ram(Backing::memfd, 1000);
  for (uint64_t page : {99u, 100u, 150u, 899u, 900u}) ram.write(page, 1);
  RamBlock part = ram.block();
  part.host += 100 * kPage;
  part.fd_offset = 100 * kPage;
  part.used_bytes = 800 * kPage;
  DirtyBitmap map({&part, 1});
  ASSERT_TRUE(find_populated({&part, 1}, map));
  EXPECT_EQ(dirty_pages(map.block(0)), (Pages{0, 50, 799}));
}

TEST(FindPopulated, a_private_file_mapping_has_the_file_and_what_was_written_over_it) {
  const TestRam ram(Backing::private_file, 1000);
  ASSERT_EQ(::pwrite(ram.block().fd, "x", 1, 500 * kPage), 1);
  ASSERT_EQ(::fsync(ram.block().fd), 0);
  ram.write(10, 1);
  DirtyBitmap map(ram.blocks());
  ASSERT_TRUE(find_populated(ram.blocks(), map));
  EXPECT_EQ(dirty_pages(map.block(0)), (Pages{10, 500}));
}

TEST(FindPopulated, shared_memory_without_a_descriptor_is_all_populated) {
  const TestRam ram(Backing::shared_anonymous, 100);
  DirtyBitmap map(ram.blocks());
  Result<std::string_view> used = find_populated(ram.blocks(), map);
  ASSERT_TRUE(used);
  EXPECT_EQ(*used, "all");
  EXPECT_EQ(map.count(), 100u);
}

TEST(FindPopulated, a_descriptor_that_cannot_seek_makes_all_populated) {
  const TestRam ram(Backing::shared_anonymous, 100);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd out(ends[0]);
  const Fd in(ends[1]);
  RamBlock odd = ram.block();
  odd.fd = out.get();
  DirtyBitmap map({&odd, 1});
  EXPECT_EQ(*find_populated({&odd, 1}, map), "all");
  EXPECT_EQ(map.count(), 100u);
}

class HugeHoles : public testing::Test {
 protected:
  void SetUp() override {
    const TestRam probe(Backing::huge_private, 4 * kHugePages);
    if (probe.block().host == nullptr) GTEST_SKIP() << "the machine has no 2 MiB pages to give";
  }
  static constexpr uint64_t kHugePages = test::kHuge / kPage;
  test::HugePages pool_{8};
};

TEST_F(HugeHoles, private_huge_pages_that_were_written_are_found_and_no_other_is_taken) {
  const TestRam ram(Backing::huge_private, 4 * kHugePages);
  ram.write(2 * kHugePages + 5, 1);
  const auto before = resident(ram);
  DirtyBitmap map(ram.blocks());
  EXPECT_EQ(*find_populated(ram.blocks(), map), "mincore");
  const PageRun run = map.block(0).next_run(0, ram.pages());
  EXPECT_EQ(run.first, 2 * kHugePages);
  EXPECT_EQ(map.count(), kHugePages);
  EXPECT_EQ(resident(ram), before);
}

TEST_F(HugeHoles, shared_huge_pages_that_were_written_are_found) {
  const TestRam ram(Backing::huge_shared, 4 * kHugePages);
  ram.write(kHugePages + 5, 1);
  DirtyBitmap map(ram.blocks());
  EXPECT_EQ(*find_populated(ram.blocks(), map), "pagemap");
  EXPECT_EQ(map.block(0).next_run(0, ram.pages()).first, kHugePages);
  EXPECT_EQ(map.count(), kHugePages);
}

TEST_F(HugeHoles, a_shared_huge_page_that_was_filled_through_another_mapping_makes_all_populated) {
  const TestRam ram(Backing::huge_shared, 4 * kHugePages);
  void* other = ::mmap(nullptr, test::kHuge, PROT_READ | PROT_WRITE, MAP_SHARED, ram.block().fd, 0);
  ASSERT_NE(other, MAP_FAILED);
  *static_cast<char*>(other) = 1;
  ::munmap(other, test::kHuge);
  ram.write(kHugePages + 5, 1);
  DirtyBitmap map(ram.blocks());
  EXPECT_EQ(*find_populated(ram.blocks(), map), "all");
  EXPECT_EQ(map.count(), ram.pages());
}

TEST(FindPopulated, what_is_set_already_stays_set) {
  const TestRam ram(Backing::anonymous, 100);
  DirtyBitmap map(ram.blocks());
  map.block(0).set(42);
  ASSERT_TRUE(find_populated(ram.blocks(), map));
  EXPECT_EQ(dirty_pages(map.block(0)), Pages{42});
}

TEST(FindPopulated, blocks_of_different_kinds_are_mixed) {
  const TestRam a(Backing::anonymous, 100, "a");
  const TestRam b(Backing::memfd, 100, "b");
  const RamBlock blocks[] = {a.block(), b.block()};
  a.write(1, 1);
  b.write(2, 1);
  DirtyBitmap map(blocks);
  EXPECT_EQ(*find_populated(blocks, map), "mixed");
  EXPECT_EQ(dirty_pages(map.block(0)), Pages{1});
  EXPECT_EQ(dirty_pages(map.block(1)), Pages{2});
}

TEST(FindPopulated, a_bitmap_of_other_blocks_is_refused) {
  const TestRam ram(Backing::anonymous, 100);
  DirtyBitmap map;
  EXPECT_EQ(find_populated(ram.blocks(), map).error().code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace tern
