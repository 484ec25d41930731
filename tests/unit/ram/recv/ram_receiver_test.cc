// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_receiver.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;

constexpr uint64_t kPage = kTargetPageBytes;

// Bodies of RAM sections, put together word by word.
struct Body {
  std::vector<std::byte> bytes;
  Body& word(uint64_t v) {
    std::byte b[8];
    store_be(b, v);
    bytes.insert(bytes.end(), b, b + 8);
    return *this;
  }
  Body& name(std::string_view text) {
    bytes.push_back(static_cast<std::byte>(text.size()));
    const auto view = bytes_of(text);
    bytes.insert(bytes.end(), view.begin(), view.end());
    return *this;
  }
  Body& fill(size_t n, unsigned value) {
    bytes.insert(bytes.end(), n, static_cast<std::byte>(value));
    return *this;
  }
  Body& list() { return word(8 * kPage | 4).name("a").word(6 * kPage).name("b").word(2 * kPage); }
  Body& eos() { return word(0x10); }
};

// Two blocks: "a" of 6 pages, "b" of 2.
class RamReceiverTest : public ::testing::Test {
 protected:
  RamReceiverTest() {
    void* p = mmap(nullptr, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    ram_ = static_cast<std::byte*>(p);
    blocks_ = {{.idstr = "a", .host = ram_, .used_bytes = 6 * kPage},
               {.idstr = "b", .host = ram_ + 6 * kPage, .used_bytes = 2 * kPage}};
    memory_ = std::make_unique<GuestMemory>(*GuestMemory::create(blocks_));
    start(DirtyBitmap(blocks_));
  }
  ~RamReceiverTest() override { munmap(ram_, 8 * kPage); }

  void start(const DirtyBitmap& populated, SyncPoints* points = nullptr) {
    target_ = std::make_unique<RamTarget>(*memory_, populated, best_page_ops());
    receiver_ = std::make_unique<RamReceiver>(*target_, counters_, points);
  }
  // "" or the message of the error.
  std::string receive(const Body& body, bool start = false) {
    MemoryChannel channel(body.bytes);
    StreamReader in(channel);
    const auto received = receiver_->receive_body(in, start);
    if (!received) return received.error().message();
    return *in.at_end() ? "" : "bytes left";
  }
  void refused(const Body& body, const std::string& why, bool start = false) {
    const std::string message = receive(body, start);
    EXPECT_NE(message.find(why), std::string::npos) << message << " instead of " << why;
  }
  unsigned at(uint64_t page) const { return std::to_integer<unsigned>(ram_[page * kPage]); }

  std::byte* ram_ = nullptr;
  std::vector<RamBlock> blocks_;
  std::unique_ptr<GuestMemory> memory_;
  RamCounters counters_;
  std::unique_ptr<RamTarget> target_;
  std::unique_ptr<RamReceiver> receiver_;
};

TEST_F(RamReceiverTest, pages_land_where_they_belong_and_nowhere_else) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body()
                        .word(2 * kPage | 0x08)
                        .name("a")
                        .fill(kPage, 7)
                        .word(kPage | 0x08)
                        .name("b")
                        .fill(kPage, 9)
                        .eos()),
            "");
  for (uint64_t page = 0; page < 8; ++page)
    EXPECT_EQ(at(page), page == 2 ? 7u : page == 7 ? 9u : 0u) << page;
  EXPECT_EQ(counters_.normal.get(), 2u);
  EXPECT_EQ(receiver_->listed_bytes(), 8 * kPage);
}

TEST_F(RamReceiverTest, continue_outlives_the_end_of_a_body) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body().word(0x08).name("b").fill(kPage, 1).eos()), "");
  EXPECT_EQ(receive(Body().word(kPage | 0x28).fill(kPage, 2).eos()), "");
  EXPECT_EQ(at(7), 2u);
}

TEST_F(RamReceiverTest, the_last_record_of_a_page_wins_whatever_its_kind) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body()
                        .word(0x08)
                        .name("a")
                        .fill(kPage, 1)
                        .word(0x22)
                        .fill(1, 0)
                        .word(kPage | 0x22)
                        .fill(1, 0)
                        .word(kPage | 0x28)
                        .fill(kPage, 3)
                        .eos()),
            "");
  EXPECT_EQ(at(0), 0u);
  EXPECT_EQ(at(1), 3u);
  EXPECT_EQ(counters_.duplicate.get(), 2u);
}

TEST_F(RamReceiverTest, a_zero_page_clears_what_the_destination_had_before) {
  std::memset(ram_, 0xee, 8 * kPage);
  DirtyBitmap populated(blocks_);
  for (size_t block = 0; block < 2; ++block) {
    for (uint64_t page = 0; page < memory_->pages(block); ++page) populated.block(block).set(page);
  }
  start(populated);
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body().word(3 * kPage | 0x02).name("a").fill(1, 0).eos()), "");
  EXPECT_EQ(at(3), 0u);
  EXPECT_EQ(at(2), 0xeeu);
  EXPECT_EQ(std::to_integer<unsigned>(ram_[4 * kPage - 1]), 0u);
}

TEST_F(RamReceiverTest, block_lists_that_do_not_describe_this_machine_are_refused) {
  refused(Body().word(9 * kPage | 4), "the source has 36864 bytes of RAM, this machine 32768",
          true);
  refused(Body().word(8 * kPage | 4).name("x").word(8 * kPage), "unknown RAM block 'x'", true);
  refused(Body().word(8 * kPage | 4).name("a").word(5 * kPage),
          "has 20480 bytes at the source, 24576 here", true);
  refused(Body().word(6 * kPage | 4).name("b").word(2 * kPage).name("a").word(6 * kPage),
          "are left of the total", true);
  refused(Body().word(8 * kPage | 4).name("a").word(0), "of 0 bytes", true);
}

TEST_F(RamReceiverTest, a_block_listed_twice_is_refused) {
  refused(Body().word(8 * kPage | 4).name("b").word(2 * kPage).name("b").word(2 * kPage),
          "listed twice", true);
}

TEST_F(RamReceiverTest, the_list_stands_once_and_in_the_start_section) {
  refused(Body().list().eos(), "outside the START section");
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  refused(Body().list().eos(), "a second list of RAM blocks", true);
}

TEST_F(RamReceiverTest, hostile_page_records_are_refused_before_a_byte_is_placed) {
  refused(Body().word(0x28).fill(kPage, 1), "CONTINUE before any block was named");
  refused(Body().word(0x08).name("a").fill(kPage, 1), "which was not listed");
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  refused(Body().word(0x08).name("zz").fill(kPage, 1), "unknown RAM block 'zz'");
  refused(Body().word(6 * kPage | 0x08).name("a").fill(kPage, 1),
          "page at 24576 is outside RAM block 'a'");
  refused(Body().word(0xfffffffffffff008).name("a").fill(kPage, 1), "is outside RAM block 'a'");
  refused(Body().word(2 * kPage | 0x02).name("b").fill(1, 0), "is outside RAM block 'b'");
  refused(Body().word(0x02).name("a").fill(1, 1), "fill byte 1");
  refused(Body().word(0x08).fill(1, 0), "RAM block name is empty");
  refused(Body().word(0x08).name("a").fill(kPage - 1, 1), "end of stream");
  for (uint64_t page = 0; page < 8; ++page) EXPECT_EQ(at(page), 0u);
}

TEST_F(RamReceiverTest, records_of_capabilities_that_are_off_are_refused_by_name) {
  refused(Body().word(0x200), "multifd is off here");
  refused(Body().word(0x040).name("a"), "'xbzrle' is of a capability that is off");
  refused(Body().word(0x100).name("a"), "'compress-page'");
  refused(Body().word(0x080), "'hook'");
}

// Where the main stream meets the channels: counts, and may refuse.
class CountedPoints final : public SyncPoints {
 public:
  Result<void> pass() noexcept override {
    if (lost) return Error(ErrorCode::channel, "channel 1 is gone");
    ++passed;
    return {};
  }
  int passed = 0;
  bool lost = false;
};

TEST_F(RamReceiverTest, a_flush_in_the_first_section_makes_flushes_the_sync_points) {
  CountedPoints points;
  start(DirtyBitmap(blocks_), &points);
  EXPECT_EQ(receive(Body().list().word(0x200).eos(), true), "");
  EXPECT_EQ(points.passed, 1);
  EXPECT_EQ(receive(Body().eos()), "");
  EXPECT_EQ(points.passed, 1);
  EXPECT_EQ(receive(Body().word(0x200).word(0x200).eos()), "");
  EXPECT_EQ(points.passed, 3);
}

TEST_F(RamReceiverTest, without_one_every_end_of_a_section_is_a_sync_point) {
  CountedPoints points;
  start(DirtyBitmap(blocks_), &points);
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(points.passed, 1);
  EXPECT_EQ(receive(Body().eos()), "");
  EXPECT_EQ(receive(Body().word(0x08).name("a").fill(kPage, 1).eos()), "");
  EXPECT_EQ(points.passed, 3);
}

TEST_F(RamReceiverTest, a_channel_that_is_gone_ends_the_main_stream) {
  CountedPoints points;
  points.lost = true;
  start(DirtyBitmap(blocks_), &points);
  refused(Body().list().eos(), "channel 1 is gone", true);
}

class ZeroRun : public RamReceiverTest {
 protected:
  std::string zero_run(const Body& body) {
    MemoryChannel channel(body.bytes);
    StreamReader in(channel);
    const auto done = receiver_->zero_run(in, static_cast<uint16_t>(body.bytes.size()));
    if (!done) return done.error().message();
    return *in.at_end() ? "" : "bytes left";
  }
};

TEST_F(ZeroRun, clears_what_may_hold_something_and_counts_all) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body()
                        .word(kPage | 0x08)
                        .name("a")
                        .fill(kPage, 7)
                        .word(4 * kPage | 0x28)
                        .fill(kPage, 7)
                        .eos()),
            "");
  EXPECT_EQ(zero_run(Body().name("a").word(0).word(3 * kPage).word(5 * kPage).word(kPage)), "");
  EXPECT_EQ(at(1), 0u);
  EXPECT_EQ(at(4), 7u);
  EXPECT_EQ(counters_.duplicate.get(), 4u);
}

TEST_F(ZeroRun, out_of_range_ones_are_refused) {
  const auto fails = [&](const Body& body) { return zero_run(body); };
  EXPECT_NE(fails(Body().name("a").word(0).word(kPage)), "");  // before the list
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_NE(fails(Body().name("x").word(0).word(kPage)), "");
  EXPECT_NE(fails(Body().name("a")), "");
  EXPECT_NE(fails(Body().name("a").word(0)), "");
  EXPECT_NE(fails(Body().name("a").word(0).word(0)), "");
  EXPECT_NE(fails(Body().name("a").word(1).word(kPage)), "");
  EXPECT_NE(fails(Body().name("a").word(0).word(kPage + 1)), "");
  EXPECT_NE(fails(Body().name("a").word(0).word(7 * kPage)), "");
  EXPECT_NE(fails(Body().name("a").word(6 * kPage).word(kPage)), "");
  EXPECT_NE(fails(Body().name("a").word(kPage).word(0xfffffffffffff000)), "");
  EXPECT_NE(fails(Body().name("a").word(0xfffffffffffff000).word(2 * kPage)), "");
}

}  // namespace
}  // namespace tern
