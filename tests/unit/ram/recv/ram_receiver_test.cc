// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_receiver.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>

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
  Body& bytes_at_end(std::initializer_list<unsigned> values) {
    for (const unsigned v : values) bytes.push_back(static_cast<std::byte>(v));
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

  void start(const DirtyBitmap& populated, SyncPoints* points = nullptr,
             PageUnpacker* unpacker = nullptr) {
    target_ = std::make_unique<RamTarget>(*memory_, populated, best_page_ops());
    receiver_ = std::make_unique<RamReceiver>(*target_, counters_, points, unpacker);
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
  refused(Body().word(0x100).name("a"), "compress is off here");
  refused(Body().word(0x080), "'hook'");
}

TEST_F(RamReceiverTest, patches_change_the_page_that_is_there_and_need_no_capability) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(receive(Body()
                        .word(kPage | 0x08)
                        .name("a")
                        .fill(kPage, 7)
                        .word(kPage | 0x60)
                        .bytes_at_end({1, 0, 5, 0x64, 3, 8, 9, 10})
                        .word(0x40)
                        .name("b")
                        .bytes_at_end({1, 0, 3, 0, 1, 5})
                        .word(0x60)
                        .bytes_at_end({1, 0, 0})
                        .eos()),
            "");
  EXPECT_EQ(at(1), 7u);
  EXPECT_EQ(std::to_integer<unsigned>(ram_[kPage + 102]), 10u);
  EXPECT_EQ(std::to_integer<unsigned>(ram_[kPage + 103]), 7u);
  EXPECT_EQ(at(6), 5u) << "a page that never came holds zeros";
  EXPECT_EQ(counters_.patched.get(), 3u);
  // A page that was patched is not taken for one that never held anything.
  EXPECT_EQ(receive(Body().word(0x22).fill(1, 0).eos()), "");
  EXPECT_EQ(at(6), 0u);
}

TEST_F(RamReceiverTest, broken_patches_are_refused_with_their_offset_and_change_nothing) {
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  refused(Body().word(0x40).name("a").bytes_at_end({2, 0, 3, 0, 1, 5}),
          "at offset 10: XBZRLE encoding 2");
  refused(Body().word(0x40).name("a").bytes_at_end({1, 0x10, 1, 0, 1, 5}),
          "XBZRLE record of 4097 bytes");
  refused(Body().word(0x40).name("a").bytes_at_end({1, 0, 5, 0, 1, 5}), "end of stream");
  refused(Body().word(0x40).name("a").bytes_at_end({1, 0, 4, 0, 1, 5, 9}),
          "at offset 13: XBZRLE: a run is cut off at byte 3");
  refused(Body().word(0x40).name("a").bytes_at_end({1, 0, 4, 0, 1, 5, 9}), "offset 13");
  refused(Body().word(0x40).name("a").bytes_at_end({1, 0, 5, 0xff, 0x1f, 2, 9, 9}),
          "past the page");
  refused(Body().word(6 * kPage | 0x40).name("a").bytes_at_end({1, 0, 3, 0, 1, 5}), "outside");
  for (uint64_t page = 0; page < 8; ++page) EXPECT_EQ(at(page), 0u);
}

// Unpacks nothing; remembers in which order it was asked for what.
class NotedPages final : public PageUnpacker {
 public:
  Result<void> take(std::byte* to, std::span<const std::byte> payload,
                    uint64_t offset) noexcept override {
    taken.emplace_back(to, payload.size());
    asked += "take@" + std::to_string(offset) + " ";
    return {};
  }
  Result<void> settle(const std::byte* to) noexcept override {
    asked += to == watched ? "settle " : "";
    return {};
  }
  Result<void> finish() noexcept override {
    asked += "finish ";
    if (broken) return Error(ErrorCode::peer_protocol, "at offset 9: that page is broken");
    return {};
  }
  std::vector<std::pair<std::byte*, size_t>> taken;
  std::string asked;
  const std::byte* watched = nullptr;
  bool broken = false;
};

TEST_F(RamReceiverTest, compressed_pages_are_done_before_the_section_is_and_before_the_page_again) {
  NotedPages pages;
  start(DirtyBitmap(blocks_), nullptr, &pages);
  pages.watched = ram_ + kPage;
  EXPECT_EQ(receive(Body().list().eos(), true), "");
  EXPECT_EQ(std::exchange(pages.asked, ""), "finish ");
  EXPECT_EQ(receive(Body()
                        .word(kPage | 0x100)
                        .name("a")
                        .bytes_at_end({0, 0, 0, 2, 1, 1})
                        .word(kPage | 0x28)
                        .fill(kPage, 7)
                        .word(2 * kPage | 0x28)
                        .fill(kPage, 7)
                        .word(kPage | 0x22)
                        .fill(1, 0)
                        .word(kPage | 0x60)
                        .bytes_at_end({1, 0, 3, 0, 1, 5})
                        .word(kPage | 0x120)
                        .bytes_at_end({0, 0, 0, 1, 1})
                        .eos()),
            "");
  EXPECT_EQ(pages.asked, "settle take@14 settle settle settle settle take@" +
                             std::to_string(14 + 2 + 2 * (8 + kPage) + 9 + 14 + 12) + " finish ");
  EXPECT_EQ(pages.taken.size(), 2u);
  EXPECT_EQ(counters_.compressed.get(), 2u);
  refused(Body().word(0x120).bytes_at_end({0xff, 0, 0, 0}), "compressed page of 4278190080 bytes");
  refused(Body().word(6 * kPage | 0x120).bytes_at_end({0, 0, 0, 1, 1}), "outside RAM block");
  pages.broken = true;
  refused(Body().eos(), "at offset 9: that page is broken");
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
