// SPDX-License-Identifier: Apache-2.0
#include "ram/guest_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tern {
namespace {

struct alignas(kTargetPageBytes) Pages {
  std::array<std::byte, 4 * kTargetPageBytes> bytes{};
};

TEST(GuestMemory, finds_blocks_and_pages) {
  Pages a;
  Pages b;
  const std::vector<RamBlock> blocks{
      {.idstr = "a", .host = a.bytes.data(), .used_bytes = sizeof a},
      {.idstr = "b", .host = b.bytes.data(), .used_bytes = 2 * kTargetPageBytes}};
  const auto memory = GuestMemory::create(blocks);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->count(), 2u);
  EXPECT_EQ(memory->total_bytes(), 6u * kTargetPageBytes);
  EXPECT_EQ(memory->pages(1), 2u);
  EXPECT_EQ(memory->find("b"), 1u);
  EXPECT_FALSE(memory->find("c"));
  EXPECT_EQ(memory->page(1, 1), b.bytes.data() + kTargetPageBytes);
}

TEST(GuestMemory, a_machine_without_ram_is_possible) {
  const auto memory = GuestMemory::create({});
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes(), 0u);
}

TEST(GuestMemory, each_thing_that_can_be_wrong_with_a_block_is_refused_by_name) {
  Pages p;
  const RamBlock good{.idstr = "good", .host = p.bytes.data(), .used_bytes = kTargetPageBytes};
  const auto refused = [&](auto change, const std::string& why) {
    RamBlock bad = good;
    bad.idstr = "bad";
    change(bad);
    const std::vector<RamBlock> blocks{good, bad};
    const auto memory = GuestMemory::create(blocks);
    ASSERT_FALSE(memory) << why;
    EXPECT_EQ(memory.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(memory.error().message().find(why), std::string::npos) << memory.error().message();
  };
  refused([](RamBlock& b) { b.idstr = ""; }, "1 to 255 bytes");
  refused([](RamBlock& b) { b.idstr = std::string(256, 'x'); }, "1 to 255 bytes");
  refused([](RamBlock& b) { b.idstr = "good"; }, "RAM block 'good': the name is used twice");
  refused([](RamBlock& b) { b.host = nullptr; }, "RAM block 'bad': its address");
  refused([](RamBlock& b) { b.host += 1; }, "not a page boundary");
  refused([](RamBlock& b) { b.used_bytes = 0; }, "whole number of pages");
  refused([](RamBlock& b) { b.used_bytes = 4097; }, "whole number of pages");
  refused([](RamBlock& b) { b.max_bytes = 1; }, "max_bytes is below used_bytes");
  refused([](RamBlock& b) { b.used_bytes = 0xfffffffffffff000; }, "more than 64 bits");
}

TEST(GuestMemory, more_blocks_than_the_stream_can_list_are_refused) {
  Pages p;
  std::vector<RamBlock> blocks;
  for (int i = 0; i <= 65536; ++i) {
    blocks.push_back(
        {.idstr = std::to_string(i), .host = p.bytes.data(), .used_bytes = kTargetPageBytes});
  }
  EXPECT_FALSE(GuestMemory::create(blocks));
  blocks.pop_back();
  EXPECT_TRUE(GuestMemory::create(blocks));
}

}  // namespace
}  // namespace tern
