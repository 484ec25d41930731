// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/compress_destination.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/doubles/guarded_pages.h"

namespace tern {
namespace {

constexpr size_t kPage = kTargetPageBytes;
constexpr size_t kPages = 300;

std::vector<std::byte> packed(unsigned value) {
  const std::vector<std::byte> page(kPage, static_cast<std::byte>(value));
  uLongf size = compressBound(kPage);
  std::vector<std::byte> out(size);
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                      reinterpret_cast<const Bytef*>(page.data()), kPage, 1),
            Z_OK);
  out.resize(size);
  return out;
}

class CompressDestinationTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  CompressDestinationTest() : ram_(kPages) {
    settings_.decompress_threads = GetParam();
    threads_ = std::make_unique<ThreadList>();
    unpacker_ = std::make_unique<CompressDestination>(settings_, *threads_);
    EXPECT_TRUE(unpacker_->start());
  }
  Result<void> take(size_t page, unsigned value, uint64_t offset = 0) {
    return unpacker_->take(ram_.page(page).data(), packed(value), offset);
  }
  unsigned at(size_t page) const { return std::to_integer<unsigned>(ram_.page(page)[kPage - 1]); }

  test::GuardedPages ram_;
  Settings settings_;
  std::unique_ptr<ThreadList> threads_;
  std::unique_ptr<CompressDestination> unpacker_;
};

TEST_P(CompressDestinationTest, once_it_is_finished_every_page_is_there) {
  for (unsigned round = 1; round < 4; ++round) {
    for (size_t page = 0; page < kPages; ++page) {
      ASSERT_TRUE(take(page, static_cast<unsigned>(page + round) % 250));
    }
    ASSERT_TRUE(unpacker_->finish());
    for (size_t page = 0; page < kPages; ++page) ASSERT_EQ(at(page), (page + round) % 250);
  }
}

TEST_P(CompressDestinationTest, a_page_that_settled_may_be_overwritten) {
  for (unsigned round = 0; round < 200; ++round) {
    ASSERT_TRUE(take(round % 7, round % 250));
    ASSERT_TRUE(unpacker_->settle(ram_.page(round % 7).data()));
    ASSERT_EQ(at(round % 7), round % 250);
  }
}

TEST_P(CompressDestinationTest, a_broken_page_is_told_with_its_offset_at_the_latest_at_the_end) {
  ram_.fill(0x77);
  std::vector<std::byte> broken = packed(1);
  broken[broken.size() - 1] ^= std::byte{1};
  Result<void> told = unpacker_->take(ram_.page(0).data(), broken, 4711);
  for (size_t page = 1; page < kPages && told; ++page) told = take(page, 5, page);
  if (told) told = unpacker_->finish();
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code(), ErrorCode::peer_protocol);
  EXPECT_NE(told.error().message().find("at offset 4711: compressed page: "), std::string::npos)
      << told.error().message();
  EXPECT_EQ(at(0), 0x77u) << "a broken page is not placed";
}

TEST_P(CompressDestinationTest, after_stop_nothing_is_taken_and_nothing_is_written) {
  for (size_t page = 0; page < 2; ++page) ASSERT_TRUE(take(page, 9));
  unpacker_->stop();
  EXPECT_TRUE(threads_->list().empty());
  ram_.fill(0x77);
  for (size_t page = 0; page < kPages; ++page) {
    const auto taken = take(page, 5);
    if (!taken) {
      EXPECT_EQ(taken.error().code(), ErrorCode::cancelled);
      break;
    }
    EXPECT_LT(page, 2 * kPages - 1);
  }
  EXPECT_EQ(at(0), 0x77u);
}

INSTANTIATE_TEST_SUITE_P(Threads, CompressDestinationTest, ::testing::Values(1u, 3u));

}  // namespace
}  // namespace tern
