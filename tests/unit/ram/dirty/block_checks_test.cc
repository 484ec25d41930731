// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/block_checks.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::TestRam;

std::array<RamBlock, 2> two_blocks() {
  static std::array<std::byte, 8192> place;
  std::array<RamBlock, 2> blocks;
  const auto at = reinterpret_cast<uintptr_t>(place.data());
  auto* aligned = place.data() + (4096 - at % 4096) % 4096;
  blocks[0] = {.idstr = "a", .host = aligned, .used_bytes = 5000 * uint64_t{4096}};
  blocks[1] = {.idstr = "b", .host = aligned, .used_bytes = 70 * uint64_t{4096}};
  return blocks;
}

TEST(CheckBlocks, a_block_that_is_not_whole_pages_is_refused_by_name) {
  auto blocks = two_blocks();
  EXPECT_TRUE(check_blocks(blocks));
  blocks[1].used_bytes += 1;
  Result<void> odd_length = check_blocks(blocks);
  ASSERT_FALSE(odd_length);
  EXPECT_EQ(odd_length.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(odd_length.error().message().find("RAM block b"), std::string::npos);
  blocks[1].used_bytes = 0;
  EXPECT_FALSE(check_blocks(blocks));
  blocks = two_blocks();
  blocks[0].host += 8;
  EXPECT_FALSE(check_blocks(blocks));
  blocks = two_blocks();
  blocks[0].page_bytes = 4095;
  EXPECT_FALSE(check_blocks(blocks));
  blocks[0].page_bytes = 0;
  EXPECT_FALSE(check_blocks(blocks));
}

TEST(CheckShape, a_bitmap_of_other_blocks_is_refused) {
  auto blocks = two_blocks();
  const DirtyBitmap map(blocks);
  EXPECT_TRUE(check_shape(blocks, map));
  EXPECT_FALSE(check_shape(std::span(blocks).first(1), map));
  blocks[1].used_bytes += 4096;
  EXPECT_FALSE(check_shape(blocks, map));
}

TEST(CheckSharing, a_block_described_the_other_way_round_is_refused_by_name) {
  for (const Backing backing : {Backing::anonymous, Backing::shared_anonymous, Backing::memfd,
                                Backing::private_memfd, Backing::private_file}) {
    TestRam ram(backing, 16, "odd");
    EXPECT_TRUE(check_sharing(ram.blocks())) << test::name_of(backing);
    ram.block().shared = !ram.block().shared;
    Result<void> checked = check_sharing(ram.blocks());
    ASSERT_FALSE(checked) << test::name_of(backing);
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(checked.error().message().find("RAM block odd"), std::string::npos);
  }
}

}  // namespace
}  // namespace tern
