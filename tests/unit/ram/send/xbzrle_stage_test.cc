// SPDX-License-Identifier: Apache-2.0
//
// The stage alone; with its sender and a receiver: ram_sender_test.cc.
#include "ram/send/xbzrle_stage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "tests/doubles/guarded_pages.h"

namespace tern {
namespace {

constexpr uint64_t kPage = kTargetPageBytes;
constexpr uint64_t kPages = 64;
using How = XbzrleStage::How;

class XbzrleStageTest : public ::testing::Test {
 protected:
  XbzrleStageTest() : pages_(kPages) {
    pages_.fill(1);
    blocks_ = {{.idstr = "a", .host = pages_.data(), .used_bytes = 16 * kPage},
               {.idstr = "b", .host = pages_.data() + 16 * kPage, .used_bytes = 48 * kPage}};
    memory_ = std::make_unique<GuestMemory>(*GuestMemory::create(blocks_));
    stage_ = std::make_unique<XbzrleStage>(*memory_, counters_, best_page_ops());
    stage_->turn_on();
  }
  How decide(uint64_t page) {
    return stage_->decide(page < 16 ? 0 : 1, page < 16 ? page : page - 16).how;
  }
  void poke(uint64_t page) { pages_.page(page)[page] ^= std::byte{1}; }

  test::GuardedPages pages_;
  std::vector<RamBlock> blocks_;
  std::unique_ptr<GuestMemory> memory_;
  XbzrleCounters counters_;
  std::unique_ptr<XbzrleStage> stage_;
};

TEST_F(XbzrleStageTest, pages_of_different_blocks_are_different_pages) {
  ASSERT_TRUE(stage_->set_cache_size(kPages * kPage));
  for (uint64_t page = 0; page < kPages; ++page) {
    poke(page);
    EXPECT_EQ(decide(page), How::cached_page) << page;
  }
  for (uint64_t page = 0; page < kPages; ++page) {
    poke(page);
    EXPECT_EQ(decide(page), How::patch) << page;
  }
  EXPECT_EQ(counters_.cache_miss.get(), kPages);
  EXPECT_EQ(counters_.pages.get(), kPages);
}

TEST_F(XbzrleStageTest, a_cache_that_grows_keeps_all_one_that_shrinks_what_fits) {
  ASSERT_TRUE(stage_->set_cache_size(16 * kPage));
  for (uint64_t page = 0; page < 16; ++page) decide(page);
  ASSERT_TRUE(stage_->set_cache_size(32 * kPage));
  EXPECT_EQ(counters_.cache_size.get(), 32 * kPage);
  for (uint64_t page = 0; page < 16; ++page) EXPECT_EQ(decide(page), How::nothing) << page;
  stage_->begin_round();
  for (uint64_t page = 4; page < 8; ++page) EXPECT_EQ(decide(page), How::nothing);
  ASSERT_TRUE(stage_->set_cache_size(4 * kPage));
  for (uint64_t page = 4; page < 8; ++page) EXPECT_EQ(decide(page), How::nothing) << page;
  EXPECT_EQ(decide(0), How::guest_page) << "no longer there, and nothing may go for it";
}

TEST_F(XbzrleStageTest, more_than_ram_is_granted_and_not_taken) {
  ASSERT_TRUE(stage_->set_cache_size(uint64_t{1} << 62));
  EXPECT_EQ(counters_.cache_size.get(), uint64_t{1} << 62);
  for (uint64_t page = 0; page < kPages; ++page) EXPECT_EQ(decide(page), How::cached_page);
  for (uint64_t page = 0; page < kPages; ++page) EXPECT_EQ(decide(page), How::nothing);
}

TEST_F(XbzrleStageTest, a_cache_for_which_there_is_no_memory_leaves_the_one_before) {
  const std::vector<RamBlock> vast = {
      {.idstr = "m", .host = pages_.data(), .used_bytes = uint64_t{1} << 60}};
  const auto memory = GuestMemory::create(vast);
  ASSERT_TRUE(memory);
  XbzrleStage stage(*memory, counters_, best_page_ops());
  stage.turn_on();
  ASSERT_TRUE(stage.set_cache_size(16 * kPage));
  EXPECT_EQ(stage.decide(0, 3).how, How::cached_page);
  const auto resized = stage.set_cache_size(uint64_t{1} << 59);
  ASSERT_FALSE(resized);
  EXPECT_EQ(resized.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(stage.cache_size(), 16 * kPage);
  EXPECT_EQ(counters_.cache_size.get(), 16 * kPage);
  EXPECT_EQ(stage.decide(0, 3).how, How::nothing);
}

// Whatever is decided in whatever order, a destination that does what it is told has what was
// looked at.
TEST_F(XbzrleStageTest, a_destination_that_follows_never_differs) {
  std::mt19937 random(3);
  std::vector<std::byte> there(pages_.all().begin(), pages_.all().end());
  ASSERT_TRUE(stage_->set_cache_size(16 * kPage));
  for (int step = 0; step < 20000; ++step) {
    const uint64_t page = random() % kPages;
    const size_t block = page < 16 ? 0 : 1;
    const uint64_t in_block = page < 16 ? page : page - 16;
    std::byte* const mine = pages_.page(page).data();
    std::byte* const theirs = there.data() + page * kPage;
    const auto kind = random() % 16;
    if (kind == 0) {
      std::memset(mine, 0, kPage);
      stage_->sent_as_zero(block, in_block);
      std::memset(theirs, 0, kPage);
      continue;
    }
    if (kind == 1) stage_->begin_round();
    if (kind == 2) {
      ASSERT_TRUE(stage_->set_cache_size((uint64_t{1} << random() % 8) * kPage));
    }
    for (auto n = kind == 3 ? 3000 : random() % 8; n > 0; --n) {
      mine[random() % kPage] = static_cast<std::byte>(random());
    }
    const auto decision = stage_->decide(block, in_block);
    if (decision.how == How::patch) {
      ASSERT_TRUE(decode_xbzrle(decision.bytes, {theirs, kPage}));
    } else if (decision.how != How::nothing) {
      std::memcpy(theirs, decision.bytes.data(), kPage);
    }
    ASSERT_EQ(std::memcmp(mine, theirs, kPage), 0) << "step " << step;
  }
  EXPECT_GT(counters_.pages.get(), 1000u);
  EXPECT_GT(counters_.overflow.get(), 10u);
}

}  // namespace
}  // namespace tern
