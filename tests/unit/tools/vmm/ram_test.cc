// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/ram.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ram, anonymous_memory_is_one_private_block) {
  RamOptions options;
  options.bytes = 1 << 20;
  options.idstr = "m";
  const Ram ram = must(Ram::create(options));
  ASSERT_EQ(ram.blocks().size(), 1U);
  const RamBlock& block = ram.blocks()[0];
  EXPECT_EQ(block.idstr, "m");
  EXPECT_EQ(block.used_bytes, 1U << 20);
  EXPECT_EQ(block.page_bytes, 4096U);
  EXPECT_EQ(block.fd, -1);
  EXPECT_FALSE(block.shared);
  block.host[block.used_bytes - 1] = std::byte{1};
}

TEST(ram, a_memfd_is_shared_and_another_mapping_sees_the_writes) {
  RamOptions options;
  options.bytes = 1 << 20;
  options.backend = RamBackend::memfd;
  const Ram ram = must(Ram::create(options));
  const RamBlock& block = ram.blocks()[0];
  ASSERT_GE(block.fd, 0);
  EXPECT_TRUE(block.shared);
  block.host[5] = std::byte{42};
  std::byte seen{};
  ASSERT_EQ(::pread(block.fd, &seen, 1, 5), 1);
  EXPECT_EQ(seen, std::byte{42});
}

TEST(ram, a_file_is_created_extended_kept_and_written_through) {
  const TempDir dir;
  RamOptions options;
  options.bytes = 64 * 1024;
  options.backend = RamBackend::file;
  options.path = dir.file("ram");
  std::ofstream(options.path) << "before";
  {
    const Ram ram = must(Ram::create(options));
    EXPECT_EQ(ram.blocks()[0].host[0], std::byte{'b'});
    EXPECT_TRUE(ram.blocks()[0].shared);
    ram.blocks()[0].host[65535] = std::byte{'z'};
  }
  EXPECT_EQ(content(options.path).size(), 65536U);
  EXPECT_EQ(content(options.path).back(), 'z');
  options.bytes = 4096;  // a longer file is not cut
  must(Ram::create(options));
  EXPECT_EQ(content(options.path).size(), 65536U);
}

TEST(ram, a_private_file_keeps_its_content) {
  const TempDir dir;
  RamOptions options;
  options.bytes = 4096;
  options.backend = RamBackend::file;
  options.path = dir.file("ram");
  options.share = false;
  std::ofstream(options.path) << "before";
  const Ram ram = must(Ram::create(options));
  EXPECT_FALSE(ram.blocks()[0].shared);
  ram.blocks()[0].host[0] = std::byte{'X'};
  EXPECT_EQ(content(options.path).substr(0, 6), "before");
}

TEST(ram, above_the_hole_it_goes_on_at_4_gib_as_a_block_of_its_own) {
  RamOptions options;
  options.bytes = 64 << 20;
  options.hole_start = 48 << 20;
  options.backend = RamBackend::memfd;
  const Ram ram = must(Ram::create(options));
  ASSERT_EQ(ram.blocks().size(), 2U);
  EXPECT_EQ(ram.blocks()[0].used_bytes, 48U << 20);
  EXPECT_EQ(ram.blocks()[1].idstr, "pc.ram-high");
  EXPECT_EQ(ram.blocks()[1].used_bytes, 16U << 20);
  EXPECT_EQ(ram.blocks()[1].gpa, 4ull << 30);
  EXPECT_EQ(ram.blocks()[1].fd_offset, 48U << 20);
  EXPECT_EQ(ram.blocks()[1].host, ram.blocks()[0].host + (48 << 20));
}

TEST(ram, sizes_and_paths_that_cannot_work_are_refused) {
  RamOptions options;
  options.bytes = 0;
  EXPECT_FALSE(Ram::create(options));
  options.bytes = 4097;
  EXPECT_FALSE(Ram::create(options));
  options.bytes = 4096;
  options.backend = RamBackend::file;
  options.path = "/no/such/dir/ram";
  EXPECT_FALSE(Ram::create(options));
  options.path = "/dev/zero";
  EXPECT_FALSE(Ram::create(options));
  options.path = "/tmp";
  EXPECT_FALSE(Ram::create(options));
}

TEST(ram, huge_pages_are_mapped_or_their_lack_comes_with_advice) {
  for (const RamBackend backend : {RamBackend::anon, RamBackend::memfd}) {
    RamOptions options;
    // More than any test machine reserves, so that the advice is seen everywhere.
    options.bytes = 8ull << 40;
    options.backend = backend;
    options.huge_page_bytes = kHugePageBytes;
    const auto none = Ram::create(options);
    ASSERT_FALSE(none);
    EXPECT_NE(none.error().message().find("nr_hugepages"), std::string::npos)
        << none.error().message();
    options.bytes = kHugePageBytes;
    const auto one = Ram::create(options);
    if (!one) {
      EXPECT_NE(one.error().message().find("nr_hugepages"), std::string::npos);
      std::printf("no huge page is free here: %s\n", one.error().message().c_str());
      continue;
    }
    EXPECT_EQ(one->blocks()[0].page_bytes, kHugePageBytes);
    one->blocks()[0].host[0] = std::byte{1};
  }
}

TEST(ram, prefaulted_memory_is_all_there_and_a_file_keeps_its_content) {
  const TempDir dir;
  for (const bool file : {false, true}) {
    RamOptions options;
    options.bytes = 256 * 4096;
    options.prefault = true;
    if (file) {
      options.backend = RamBackend::file;
      options.path = dir.file("ram");
      std::ofstream(options.path) << "before";
    }
    const Ram ram = must(Ram::create(options));
    const RamBlock& block = ram.blocks()[0];
    std::vector<unsigned char> there(256);
    ASSERT_EQ(::mincore(block.host, block.used_bytes, there.data()), 0);
    for (const unsigned char page : there) ASSERT_EQ(page & 1, 1);
    if (file) {
      EXPECT_EQ(block.host[0], std::byte{'b'});
    }
  }
}

TEST(ram, transparent_huge_pages_keep_small_pages_in_the_block) {
  RamOptions options;
  options.bytes = 2 * kHugePageBytes;
  options.transparent_huge_pages = true;
  const auto ram = Ram::create(options);
  if (!ram) {
    EXPECT_EQ(ram.error().code(), ErrorCode::unsupported) << ram.error().message();
    GTEST_SKIP() << "no transparent huge pages in this kernel";
  }
  EXPECT_EQ(ram->blocks()[0].page_bytes, kTargetPageBytes);
}

}  // namespace
}  // namespace tern::vmm
