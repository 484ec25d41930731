// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/multifd_receiver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "base/wire_int.h"
#include "tests/doubles/guarded_pages.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::GuardedPages;
using test::MemoryChannel;

constexpr uint64_t kPage = kTargetPageBytes;
constexpr uint64_t kFirstOffset = kMultifdInitialBytes;

// What a peer sends on a channel, packet by packet.
class Packets {
 public:
  std::vector<std::byte> bytes;

  Packets& head(const MultifdPacket& packet) {
    std::array<std::byte, kMultifdPacketBytes> header;
    encode(packet, header);
    bytes.insert(bytes.end(), header.begin(), header.end());
    return *this;
  }
  Packets& sync() { return head({.flags = kMultifdSync}); }
  /// Pages whose bytes are all `value`, `value` + 1, … and pages to clear.
  Packets& pages(std::string_view block, const std::vector<uint64_t>& normal, unsigned value,
                 const std::vector<uint64_t>& zero = {}, uint32_t flags = 0) {
    MultifdPacket p = packet(block, normal, zero, flags);
    p.payload_bytes = p.normal * kTargetPageBytes;
    head(p);
    for (size_t i = 0; i < normal.size(); ++i) {
      bytes.insert(bytes.end(), kPage, static_cast<std::byte>(value + i));
    }
    return *this;
  }
  Packets& packed(std::string_view block, const std::vector<uint64_t>& normal, uint32_t flags,
                  std::span<const std::byte> payload) {
    MultifdPacket p = packet(block, normal, {}, flags);
    p.payload_bytes = static_cast<uint32_t>(payload.size());
    head(p);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return *this;
  }

 private:
  static MultifdPacket packet(std::string_view block, const std::vector<uint64_t>& normal,
                              const std::vector<uint64_t>& zero, uint32_t flags) {
    MultifdPacket p;
    p.flags = flags;
    p.pages_alloc = kMultifdPages;
    p.block = block;
    for (const uint64_t page : normal) p.offsets[p.normal++] = page * kPage;
    for (const uint64_t page : zero) p.offsets[p.normal + p.zero++] = page * kPage;
    return p;
  }
};

// Lets the channel go on at once, and remembers what the memory was at each SYNC.
class Waiter final : public SyncWaiter {
 public:
  explicit Waiter(RamTarget& target) : target_(target) {}
  Result<void> arrive() noexcept override {
    if (over) return Error(ErrorCode::cancelled, "the migration ended");
    ++syncs;
    if (at_sync) at_sync();
    return {};
  }
  RamTarget* target() noexcept override { return listed ? &target_ : nullptr; }
  bool mixes_methods() noexcept override { return mixed; }

  std::function<void()> at_sync;
  bool listed = true;
  bool mixed = false;
  bool over = false;
  int syncs = 0;

 private:
  RamTarget& target_;
};

// Blocks "a" of 6 pages, "b" of 2, "c" of 200; "c" was not listed by the source.
class MultifdReceiverTest : public ::testing::Test {
 protected:
  MultifdReceiverTest()
      : ram_(208),
        blocks_{{.idstr = "a", .host = ram_.data(), .used_bytes = 6 * kPage},
                {.idstr = "b", .host = ram_.data() + 6 * kPage, .used_bytes = 2 * kPage},
                {.idstr = "c", .host = ram_.data() + 8 * kPage, .used_bytes = 200 * kPage}},
        memory_(*GuestMemory::create(blocks_)),
        target_(memory_, DirtyBitmap(blocks_), best_page_ops()),
        waiter_(target_) {
    target_.list(0);
    target_.list(1);
  }

  // "" or the message of the error.
  std::string receive(const Packets& packets, const PageCodec* codec = nullptr) {
    MemoryChannel channel(packets.bytes);
    channel.read_piece = piece_;
    return receive(channel, codec);
  }
  std::string receive(MemoryChannel& channel, const PageCodec* codec = nullptr) {
    auto receiver = MultifdReceiver::create(channel, codec, counters_, kFirstOffset);
    EXPECT_TRUE(receiver);
    const auto done = (*receiver)->run(waiter_);
    code_ = done ? std::nullopt : std::optional(done.error().code());
    return done ? "" : done.error().message();
  }
  unsigned at(uint64_t page) const {
    const auto bytes = ram_.page(page);
    const bool same =
        std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == bytes[0]; });
    return same ? std::to_integer<unsigned>(bytes[0]) : 999;
  }
  void expect_untouched() const {
    for (const std::byte b : ram_.all()) ASSERT_EQ(b, std::byte{0});
  }

  GuardedPages ram_;
  std::vector<RamBlock> blocks_;
  GuestMemory memory_;
  RamTarget target_;
  Waiter waiter_;
  ChannelCounters counters_;
  size_t piece_ = SIZE_MAX;
  std::optional<ErrorCode> code_;
};

TEST_F(MultifdReceiverTest, pages_land_where_their_offsets_say_in_any_order) {
  EXPECT_EQ(receive(Packets().pages("a", {5, 1, 2, 3, 0}, 10).pages("b", {1}, 20)), "");
  constexpr unsigned kExpected[] = {14, 11, 12, 13, 0, 10, 0, 20};
  for (size_t page = 0; page < 8; ++page) EXPECT_EQ(at(page), kExpected[page]) << page;
  EXPECT_EQ(counters_.normal.get(), 6u);
  EXPECT_EQ(counters_.packets.get(), 2u);
  EXPECT_EQ(counters_.bytes.get(), 2 * 1344 + 6 * kPage);
}

TEST_F(MultifdReceiverTest, how_the_bytes_come_in_pieces_does_not_matter) {
  Packets packets;
  packets.sync().pages("a", {0, 1, 4, 5}, 1).pages("b", {0}, 7, {1}).sync();
  packets.pages("a", {3}, 9, {0}, kMultifdSync).head({.pages_alloc = 128}).sync();
  for (const size_t piece : {1, 7, 61, 1343, 1344, 1345, 4096, 4097, 5441, 100000}) {
    ram_.fresh();
    piece_ = piece;
    waiter_.syncs = 0;
    EXPECT_EQ(receive(packets), "") << piece;
    constexpr unsigned kExpected[] = {0, 2, 0, 9, 3, 4, 7, 0};
    for (size_t page = 0; page < 8; ++page) EXPECT_EQ(at(page), kExpected[page]) << page;
    EXPECT_EQ(waiter_.syncs, 4) << piece;
  }
}

TEST_F(MultifdReceiverTest, pages_of_a_packet_with_sync_are_placed_before_it_is_told) {
  std::vector<unsigned> seen;
  waiter_.at_sync = [&] { seen.push_back(at(0)); };
  Packets packets;
  packets.sync().pages("a", {0}, 1, {}, kMultifdSync).pages("a", {0}, 2).sync();
  EXPECT_EQ(receive(packets), "");
  EXPECT_EQ(seen, (std::vector<unsigned>{0, 1, 2}));
  EXPECT_EQ(counters_.syncs.get(), 3u);
}

TEST_F(MultifdReceiverTest, nothing_behind_a_sync_is_placed_when_the_migration_ended_there) {
  waiter_.over = true;
  EXPECT_EQ(receive(Packets().sync().pages("a", {0}, 1)), "the migration ended");
  EXPECT_EQ(code_, ErrorCode::cancelled);
  expect_untouched();
}

TEST_F(MultifdReceiverTest, what_7_2_leaves_in_packets_without_pages_is_not_read) {
  // Payload length, name and offsets of the packet before.
  Packets packets;
  packets.pages("a", {0, 1}, 1, {}, kMultifdSync);
  const size_t left_over = packets.bytes.size();
  packets.pages("a", {0, 1}, 1);
  packets.bytes.resize(left_over + kMultifdPacketBytes);
  store_be<uint32_t>(packets.bytes.data() + left_over + 16, 0);
  packets.pages("a", {5}, 5);
  EXPECT_EQ(receive(packets), "");
  EXPECT_EQ(at(5), 5u);
}

TEST_F(MultifdReceiverTest, zero_pages_clear_what_was_there) {
  Packets packets;
  packets.pages("a", {0, 1, 2}, 1).sync().pages("a", {2}, 9, {1, 0, 4}).sync();
  packets.pages("a", {}, 0, {2}, 0);
  EXPECT_EQ(receive(packets), "");
  expect_untouched();
  EXPECT_EQ(counters_.zero.get(), 4u);
}

TEST_F(MultifdReceiverTest, of_a_page_twice_in_a_packet_the_last_counts) {
  EXPECT_EQ(receive(Packets().pages("a", {3, 3, 3}, 1).pages("b", {0, 1}, 5, {1})), "");
  EXPECT_EQ(at(3), 3u);
  EXPECT_EQ(at(6), 5u);
  EXPECT_EQ(at(7), 0u);
}

TEST_F(MultifdReceiverTest, a_full_packet_of_pages_apart_and_one_of_neighbours) {
  target_.list(2);
  std::vector<uint64_t> apart, together;
  for (uint64_t i = 0; i < 100; ++i) apart.push_back(2 * i);
  for (uint64_t i = 0; i < 128; ++i) together.push_back(72 + i);
  EXPECT_EQ(receive(Packets().pages("c", apart, 0)), "");
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(at(8 + 2 * i), i);
  EXPECT_EQ(receive(Packets().pages("c", together, 1)), "");
  for (uint64_t i = 0; i < 128; ++i) EXPECT_EQ(at(80 + i), i + 1);
}

TEST_F(MultifdReceiverTest, pages_before_the_list_of_blocks_are_refused) {
  waiter_.listed = false;
  EXPECT_EQ(receive(Packets().sync().sync()), "");
  EXPECT_EQ(receive(Packets().pages("a", {0}, 1)),
            "at offset 64: pages before the list of RAM blocks");
  EXPECT_EQ(receive(Packets().sync().pages("a", {}, 1, {0})),
            "at offset 1408: pages before the list of RAM blocks");
  expect_untouched();
}

TEST_F(MultifdReceiverTest, pages_that_are_nowhere_are_refused_before_a_byte_is_placed) {
  EXPECT_EQ(receive(Packets().pages("x", {0}, 1)), "at offset 64: pages for unknown RAM block 'x'");
  EXPECT_EQ(receive(Packets().pages("c", {0}, 1)), "at offset 64: pages for unknown RAM block 'c'");
  EXPECT_EQ(receive(Packets().pages("a", {0, 6}, 1)),
            "at offset 64: page at 24576 is outside RAM block 'a'");
  EXPECT_EQ(receive(Packets().pages("b", {0}, 1, {2})),
            "at offset 64: page at 8192 is outside RAM block 'b'");
  EXPECT_EQ(receive(Packets().pages("b", {0, UINT64_MAX / kPage}, 1)),
            "at offset 64: page at 18446744073709547520 is outside RAM block 'b'");
  EXPECT_EQ(code_, ErrorCode::peer_protocol);
  expect_untouched();
}

TEST_F(MultifdReceiverTest, broken_packets_are_refused_with_their_offset) {
  Packets packets;
  packets.sync().pages("a", {0}, 1);
  packets.bytes.insert(packets.bytes.end(), kMultifdPacketBytes, std::byte{'x'});
  EXPECT_EQ(receive(packets), "at offset 6848: packet without the magic 0x11223344 (0x78787878)");
  EXPECT_EQ(receive(Packets().sync().head({.pages_alloc = 129})),
            "at offset 1408: packet of 0 normal and 0 zero pages, allocated 129 (128 at most)");
  EXPECT_EQ(receive(Packets().head({.flags = 0x80})),
            "at offset 64: packet with unknown flags 128");
}

TEST_F(MultifdReceiverTest, device_state_is_refused_by_its_first_words) {
  // Its head is shorter than that of a RAM packet: nobody waits for more.
  Packets packets;
  packets.head({.flags = kMultifdDeviceState});
  packets.bytes.resize(kMultifdPrefixBytes);
  EXPECT_NE(receive(packets).find("at offset 64: device state on a multifd channel"),
            std::string::npos);
}

TEST_F(MultifdReceiverTest, a_channel_may_end_between_two_packets_and_nowhere_else) {
  Packets packets;
  packets.sync().pages("a", {0, 2}, 1, {1}).sync();
  const std::vector<size_t> ends = {0, 1344, 1344 + 1344 + 2 * kPage, packets.bytes.size()};
  for (size_t n = 0; n <= packets.bytes.size(); n += n % 1344 < 3 || n % 97 == 0 ? 1 : 3) {
    Packets cut;
    cut.bytes.assign(packets.bytes.begin(), packets.bytes.begin() + static_cast<ptrdiff_t>(n));
    const std::string error = receive(cut);
    if (std::find(ends.begin(), ends.end(), n) != ends.end()) {
      ASSERT_EQ(error, "") << n;
      continue;
    }
    ASSERT_EQ(code_, ErrorCode::channel) << n;
    const bool in_pages = n > 2688 && n < ends[2];
    ASSERT_EQ(error, "end of the channel at offset " + std::to_string(64 + n) + ", inside the " +
                         (in_pages || n == 2688 ? "pages" : "header") + " of a packet");
  }
}

TEST_F(MultifdReceiverTest, errors_of_the_channel_say_where) {
  for (const size_t n : {size_t{0}, size_t{100}, size_t{1344 + 100}}) {
    MemoryChannel channel(Packets().pages("a", {0}, 1).bytes);
    channel.incoming.resize(n);
    channel.read_error = Error(ErrorCode::timed_out, "stall-timeout passed");
    EXPECT_NE(receive(channel).find("stall-timeout passed"), std::string::npos);
    EXPECT_EQ(code_, ErrorCode::timed_out);
  }
}

// Packets of a method, through the encoder.
class MultifdReceiverMethods : public MultifdReceiverTest,
                               public ::testing::WithParamInterface<MultifdCompression> {
 protected:
  const PageCodec& codec() const { return *find_page_codec(GetParam()); }
  std::vector<std::byte> packed(PageEncoder& encoder, std::initializer_list<unsigned> values) {
    std::vector<std::byte> pages;
    for (const unsigned v : values) pages.insert(pages.end(), kPage, static_cast<std::byte>(v));
    const std::span<std::byte> piece(pages);
    const auto payload = encoder.encode(std::span(&piece, 1));
    EXPECT_TRUE(payload);
    return {payload->begin(), payload->end()};
  }
};

TEST_P(MultifdReceiverMethods, compressed_pages_land_where_their_offsets_say) {
  const auto encoder = std::move(*codec().make_encoder(1));
  Packets packets;
  packets.sync().packed("a", {4, 0, 1}, codec().flag, packed(*encoder, {1, 2, 3}));
  packets.pages("a", {}, 0, {0}, codec().flag).sync();
  packets.packed("b", {1}, codec().flag | kMultifdSync, packed(*encoder, {4}));
  for (const size_t piece : {SIZE_MAX, size_t{1}, size_t{61}, size_t{1344}}) {
    ram_.fresh();
    piece_ = piece;
    EXPECT_EQ(receive(packets, &codec()), "");
    constexpr unsigned kExpected[] = {0, 3, 0, 0, 1, 0, 0, 4};
    for (size_t page = 0; page < 8; ++page) EXPECT_EQ(at(page), kExpected[page]) << page;
  }
  EXPECT_EQ(counters_.compressed.get(), 4 * 4u);
}

TEST_P(MultifdReceiverMethods, broken_payloads_are_refused_with_the_offset_of_their_packet) {
  const auto encoder = std::move(*codec().make_encoder(1));
  auto payload = packed(*encoder, {1, 2});
  EXPECT_NE(receive(Packets().sync().packed("a", {0}, codec().flag, payload), &codec())
                .find("holds more than its pages"),
            std::string::npos);
  payload.resize(payload.size() / 2);
  const std::string error =
      receive(Packets().sync().packed("a", {0, 1}, codec().flag, payload), &codec());
  EXPECT_TRUE(error.starts_with("at offset 1408: ")) << error;
  EXPECT_EQ(code_, ErrorCode::peer_protocol);
}

TEST_P(MultifdReceiverMethods, another_method_is_refused_and_both_are_named) {
  const auto encoder = std::move(*codec().make_encoder(1));
  const uint32_t flag = codec().flag;
  const std::string is = std::to_string(flag);
  EXPECT_EQ(receive(Packets().packed("a", {0}, flag, packed(*encoder, {1}))),
            "at offset 64: the packet's method is " + is +
                " (0 none, 2 zlib, 4 zstd, …), here it is 0: multifd-compression must be equal on "
                "both sides");
  EXPECT_NE(receive(Packets().pages("a", {0}, 1), &codec()).find("method is 0"), std::string::npos);
  // Of packets with zero pages, too; those without pages name none.
  EXPECT_NE(receive(Packets().pages("a", {}, 0, {1}, flag)).find("method is " + is),
            std::string::npos);
  EXPECT_NE(receive(Packets().pages("a", {}, 0, {1}), &codec()).find("method is 0"),
            std::string::npos);
  EXPECT_EQ(receive(Packets().sync().head({.flags = flag}), &codec()), "");
  EXPECT_EQ(receive(Packets().sync().head({.flags = flag})), "");
  expect_untouched();
}

TEST_P(MultifdReceiverMethods, plain_packets_between_are_taken_only_where_both_agreed) {
  const auto encoder = std::move(*codec().make_encoder(1));
  Packets packets;
  packets.packed("a", {0}, codec().flag, packed(*encoder, {1})).pages("a", {1}, 2);
  packets.packed("a", {2}, codec().flag, packed(*encoder, {1})).pages("a", {}, 0, {1});
  EXPECT_NE(receive(packets, &codec()).find("must be equal"), std::string::npos);
  waiter_.mixed = true;
  EXPECT_EQ(receive(packets, &codec()), "");
  EXPECT_EQ(at(0), 1u);
  EXPECT_EQ(at(1), 0u);
  EXPECT_EQ(at(2), 1u);
  // The other method's are not meant by that.
  const uint32_t other = (kMultifdZlib | kMultifdZstd) & ~codec().flag;
  EXPECT_NE(receive(Packets().pages("a", {}, 0, {1}, other), &codec()).find("must be equal"),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Methods, MultifdReceiverMethods,
                         ::testing::Values(MultifdCompression::zlib, MultifdCompression::zstd),
                         [](const auto& made) {
                           return made.param == MultifdCompression::zlib ? "zlib" : "zstd";
                         });

}  // namespace
}  // namespace tern
