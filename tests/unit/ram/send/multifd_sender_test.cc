// SPDX-License-Identifier: Apache-2.0
#include "ram/send/multifd_sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "tests/doubles/guarded_pages.h"
#include "tests/doubles/manual_clock.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::GuardedPages;
using test::ManualClock;
using test::MemoryChannel;

constexpr uint64_t kPage = kTargetPageBytes;

// What went out, packet by packet.
struct Sent {
  MultifdPacket packet;
  std::vector<std::byte> payload;
};

// Blocks "small" of 4 pages and "large" of 200; all bytes of a page are its number, counted over
// both and from 1; those that zero() was told of are zero.
class MultifdSenderTest : public ::testing::Test {
 protected:
  MultifdSenderTest()
      : ram_(204),
        blocks_{{.idstr = "small", .host = ram_.data(), .used_bytes = 4 * kPage},
                {.idstr = "large", .host = ram_.data() + 4 * kPage, .used_bytes = 200 * kPage}},
        memory_(*GuestMemory::create(blocks_)),
        sender_(memory_, channel_, counters_, number_, floor_, best_page_ops(), clock_) {
    for (size_t page = 0; page < 204; ++page) fill(page, static_cast<int>(page + 1));
  }

  void fill(size_t page, int value) { std::memset(ram_.page(page).data(), value, kPage); }
  static PageBatch batch(size_t block, const std::vector<uint64_t>& pages) {
    PageBatch batch;
    batch.block = block;
    for (const uint64_t page : pages) batch.pages[batch.count++] = page;
    return batch;
  }
  static PageBatch run(uint64_t first, size_t count) {
    PageBatch batch;
    batch.block = 1;
    for (size_t i = 0; i < count; ++i) batch.pages[batch.count++] = first + i;
    return batch;
  }
  std::vector<Sent> sent() {
    std::vector<Sent> packets;
    const std::vector<std::byte> bytes = std::exchange(channel_.written, {});
    for (size_t at = 0; at < bytes.size();) {
      const auto left = std::span(bytes).subspan(at);
      if (left.size() < kMultifdPacketBytes) {
        ADD_FAILURE() << left.size() << " bytes are no header";
        break;
      }
      const auto packet = parse_multifd_packet(left.first<kMultifdPacketBytes>());
      if (!packet || left.size() < kMultifdPacketBytes + packet->payload_bytes) {
        ADD_FAILURE() << (packet ? "payload cut" : packet.error().message());
        break;
      }
      const auto payload = left.subspan(kMultifdPacketBytes, packet->payload_bytes);
      packets.push_back({*packet, {payload.begin(), payload.end()}});
      at += kMultifdPacketBytes + packet->payload_bytes;
    }
    return packets;
  }
  std::vector<std::byte> content(size_t block, const MultifdPacket& packet) const {
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < packet.normal; ++i) {
      const std::byte* page = memory_.page(block, packet.offsets[i] / kPage);
      bytes.insert(bytes.end(), page, page + kPage);
    }
    return bytes;
  }
  static std::vector<uint64_t> pages(const MultifdPacket& packet, bool zero) {
    std::vector<uint64_t> list;
    const size_t first = zero ? packet.normal : 0;
    for (size_t i = 0; i < (zero ? packet.zero : packet.normal); ++i) {
      list.push_back(packet.offsets[first + i] / kPage);
    }
    return list;
  }

  GuardedPages ram_;
  std::vector<RamBlock> blocks_;
  GuestMemory memory_;
  MemoryChannel channel_;
  ChannelCounters counters_;
  std::atomic<uint64_t> number_{7};
  std::atomic<double> floor_{0};
  ManualClock clock_;
  MultifdSender sender_;
};

TEST_F(MultifdSenderTest, the_first_packet_is_the_channels_card) {
  MultifdInitial initial;
  initial.uuid[0] = 0xaa;
  initial.id = 3;
  channel_.write_piece = 10;
  ASSERT_TRUE(sender_.send_initial(initial));
  ASSERT_EQ(channel_.written.size(), 64u);
  const auto read =
      parse_multifd_initial(std::span(channel_.written).first<kMultifdInitialBytes>());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->uuid, initial.uuid);
  EXPECT_EQ(read->id, 3);
  EXPECT_EQ(counters_.bytes.get(), 64u);
  EXPECT_EQ(counters_.packets.get(), 0u);
  EXPECT_EQ(number_, 7u);
}

TEST_F(MultifdSenderTest, a_sync_has_no_pages_no_method_and_a_number) {
  ASSERT_TRUE(sender_.set_style({.codec = find_page_codec(MultifdCompression::zlib), .level = 1}));
  ASSERT_TRUE(sender_.send_sync());
  auto expected = test::bytes_of({0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0,
                                  0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7});
  expected.resize(kMultifdPacketBytes);
  EXPECT_EQ(channel_.written, expected);
  EXPECT_EQ(number_, 8u);
  EXPECT_EQ(counters_.syncs.get(), 1u);
  EXPECT_EQ(counters_.packets.get(), 1u);
}

TEST_F(MultifdSenderTest, pages_follow_their_head_in_the_order_of_their_offsets) {
  ASSERT_TRUE(sender_.set_style({}));
  const auto wanted = batch(1, {9, 3, 4, 5, 100});
  ASSERT_TRUE(sender_.send(wanted));
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  const MultifdPacket& p = packets[0].packet;
  EXPECT_EQ(p.flags, 0u);
  EXPECT_EQ(p.pages_alloc, 128u);
  EXPECT_EQ(p.block, "large");
  EXPECT_EQ(p.number, 7u);
  EXPECT_EQ(pages(p, false), (std::vector<uint64_t>{9, 3, 4, 5, 100}));
  EXPECT_EQ(packets[0].payload, content(1, p));
  EXPECT_EQ(counters_.normal.get(), 5u);
  EXPECT_EQ(counters_.bytes.get(), 1344 + 5 * kPage);
}

TEST_F(MultifdSenderTest, neighbours_are_one_slice_and_a_packet_one_write) {
  ASSERT_TRUE(sender_.set_style({}));
  ASSERT_TRUE(sender_.send(run(10, 128)));
  EXPECT_EQ(channel_.most_slices, 2u);
  EXPECT_EQ(channel_.writes, 1u);
  ASSERT_TRUE(sender_.send(batch(1, {1, 2, 4, 5, 7})));
  EXPECT_EQ(channel_.most_slices, 4u);
  // Blocks that follow each other in memory stay packets of their own.
  ASSERT_TRUE(sender_.send(batch(0, {3})));
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(packets[0].payload, content(1, packets[0].packet));
  EXPECT_EQ(packets[1].payload, content(1, packets[1].packet));
  EXPECT_EQ(packets[2].payload, content(0, packets[2].packet));
  EXPECT_EQ(packets[2].packet.block, "small");
}

TEST_F(MultifdSenderTest, a_channel_that_takes_few_bytes_gets_all_of_them) {
  ASSERT_TRUE(sender_.set_style({}));
  for (const size_t piece : {1, 61, 1344, 5000}) {
    channel_.write_piece = piece;
    ASSERT_TRUE(sender_.send(batch(1, {0, 2, 3})));
    const auto packets = sent();
    ASSERT_EQ(packets.size(), 1u) << piece;
    EXPECT_EQ(packets[0].payload, content(1, packets[0].packet));
  }
}

TEST_F(MultifdSenderTest, pages_of_zeros_stand_behind_the_others_without_payload) {
  for (const size_t page : {4 + 1, 4 + 3, 4 + 6}) fill(page, 0);
  ASSERT_TRUE(sender_.set_style({.zero_pages = true}));
  ASSERT_TRUE(sender_.send(run(0, 8)));
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  const MultifdPacket& p = packets[0].packet;
  EXPECT_EQ(pages(p, false), (std::vector<uint64_t>{0, 2, 4, 5, 7}));
  EXPECT_EQ(pages(p, true), (std::vector<uint64_t>{1, 3, 6}));
  EXPECT_EQ(packets[0].payload, content(1, p));
  EXPECT_EQ(counters_.zero.get(), 3u);
  EXPECT_EQ(counters_.normal.get(), 5u);
}

TEST_F(MultifdSenderTest, a_packet_of_zeros_only_has_no_payload) {
  for (size_t page = 0; page < 204; ++page) fill(page, 0);
  ASSERT_TRUE(sender_.set_style({.zero_pages = true}));
  ASSERT_TRUE(sender_.send(run(0, 128)));
  EXPECT_EQ(channel_.written.size(), 1344u);
  const auto packets = sent();
  EXPECT_EQ(packets[0].packet.zero, 128u);
  EXPECT_EQ(packets[0].packet.normal, 0u);
}

TEST_F(MultifdSenderTest, for_peers_that_know_no_zero_pages_they_are_pages) {
  fill(4 + 1, 0);
  ASSERT_TRUE(sender_.set_style({.zero_pages = false}));
  ASSERT_TRUE(sender_.send(run(0, 3)));
  const auto packets = sent();
  EXPECT_EQ(packets[0].packet.normal, 3u);
  EXPECT_EQ(packets[0].packet.zero, 0u);
  EXPECT_EQ(packets[0].payload.size(), 3 * kPage);
}

TEST_F(MultifdSenderTest, numbers_are_taken_from_all_channels_together) {
  ASSERT_TRUE(sender_.set_style({}));
  ASSERT_TRUE(sender_.send(run(0, 1)));
  number_ += 10;  // other channels
  ASSERT_TRUE(sender_.send_sync());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].packet.number, 7u);
  EXPECT_EQ(packets[1].packet.number, 18u);
}

TEST_F(MultifdSenderTest, an_error_of_the_channel_is_told_and_the_packet_not_counted) {
  ASSERT_TRUE(sender_.set_style({}));
  channel_.write_error = Error(ErrorCode::channel, "connection reset");
  channel_.write_error_after = 2000;
  channel_.write_piece = 1000;
  const auto result = sender_.send(run(0, 4));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "connection reset");
  EXPECT_EQ(counters_.bytes.get(), 2000u);
  EXPECT_EQ(counters_.packets.get(), 0u);
  EXPECT_FALSE(sender_.send_sync());
  EXPECT_EQ(counters_.syncs.get(), 0u);
}

class MultifdSenderMethods : public MultifdSenderTest,
                             public ::testing::WithParamInterface<MultifdCompression> {
 protected:
  const PageCodec& codec() const { return *find_page_codec(GetParam()); }
};

TEST_P(MultifdSenderMethods, packets_name_the_method_and_decode_to_their_pages) {
  for (const size_t page : {4 + 2, 4 + 50}) fill(page, 0);
  for (const bool zeros : {false, true}) {
    MultifdSender sender(memory_, channel_, counters_, number_, floor_, best_page_ops(), clock_);
    ASSERT_TRUE(sender.set_style({.codec = &codec(), .level = 1, .zero_pages = zeros}));
    const auto decoder = std::move(*codec().make_decoder());
    ASSERT_TRUE(sender.send(run(0, 128)));
    ASSERT_TRUE(sender.send(batch(1, {150, 2, 7, 9})));
    ASSERT_TRUE(sender.send(batch(1, {2})));
    const auto packets = sent();
    ASSERT_EQ(packets.size(), 3u);
    EXPECT_EQ(packets[0].packet.zero, zeros ? 2u : 0u);
    for (const Sent& s : packets) {
      EXPECT_EQ(s.packet.flags, codec().flag);
      if (s.packet.normal == 0) continue;
      const GuardedPages to(s.packet.normal);
      const std::span<std::byte> piece = to.all();
      ASSERT_TRUE(decoder->decode(s.payload, std::span(&piece, 1)));
      EXPECT_TRUE(std::ranges::equal(piece, content(1, s.packet)));
    }
    // One of zeros only names it, too, and has nothing for the decoder.
    EXPECT_EQ(packets[2].packet.normal, zeros ? 0u : 1u);
    EXPECT_EQ(packets[2].payload.empty(), zeros);
  }
  EXPECT_EQ(counters_.compressed.get(), counters_.normal.get());
}

// Takes its time for every byte.
class SlowChannel final : public Channel {
 public:
  SlowChannel(ManualClock& clock, int64_t ns_per_byte) : clock_(clock), cost(ns_per_byte) {}
  Result<size_t> read_some(std::span<std::byte>) noexcept override { return size_t{0}; }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    const size_t n = slices.front().iov_len;
    const auto* p = static_cast<const std::byte*>(slices.front().iov_base);
    written.insert(written.end(), p, p + n);
    clock_.advance(Nanoseconds(static_cast<int64_t>(n) * cost));
    return n;
  }
  void set_read_deadline(Deadline) noexcept override {}
  void set_write_deadline(Deadline) noexcept override {}
  void shutdown() noexcept override {}
  void finish_writing() noexcept override {}
  bool peer_closed() noexcept override { return false; }
  bool bidirectional() const noexcept override { return true; }
  std::string describe() const noexcept override { return "slow"; }

 private:
  ManualClock& clock_;

 public:
  int64_t cost;
  std::vector<std::byte> written;
};

class MultifdSenderAdaptive : public MultifdSenderMethods {
 protected:
  // How many of the last 64 packets were compressed.
  size_t compressed_of_64(SlowChannel& channel) {
    MultifdSender sender(memory_, channel, counters_, number_, floor_, best_page_ops(), clock_);
    EXPECT_TRUE(sender.set_style({.codec = &codec(), .level = 1, .adaptive = true}));
    for (int i = 0; i < 64; ++i) EXPECT_TRUE(sender.send(run(0, 16)));
    const uint64_t before = counters_.compressed.get();
    for (int i = 0; i < 64; ++i) EXPECT_TRUE(sender.send(run(0, 16)));
    const auto decoder = std::move(*codec().make_decoder());
    channel_.written = std::exchange(channel.written, {});
    const GuardedPages to(16);
    const std::span<std::byte> piece = to.all();
    for (const Sent& s : sent()) {  // what went plain is not in the decoder's window
      EXPECT_TRUE(s.packet.flags == 0 || s.packet.flags == codec().flag);
      if (s.packet.flags == 0) {
        EXPECT_EQ(s.payload, content(1, s.packet));
        continue;
      }
      EXPECT_TRUE(decoder->decode(s.payload, std::span(&piece, 1)));
      EXPECT_TRUE(std::ranges::equal(piece, content(1, s.packet)));
    }
    return (counters_.compressed.get() - before) / 16;
  }
};

TEST_P(MultifdSenderAdaptive, where_bytes_are_dear_most_packets_are_compressed) {
  SlowChannel channel(clock_, 100);
  EXPECT_GE(compressed_of_64(channel), 62u);
}

TEST_P(MultifdSenderAdaptive, where_the_link_costs_nothing_but_the_rate_is_limited_too) {
  SlowChannel channel(clock_, 0);
  floor_ = 100;
  EXPECT_GE(compressed_of_64(channel), 62u);
}

TEST_P(MultifdSenderAdaptive, random_pages_go_as_they_are) {
  // Compressing makes them longer.
  uint64_t state = 1;
  for (std::byte& b : ram_.all()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::byte>(state >> 56);
  }
  SlowChannel channel(clock_, 100);
  MultifdSender sender(memory_, channel, counters_, number_, floor_, best_page_ops(), clock_);
  ASSERT_TRUE(sender.set_style({.codec = &codec(), .level = 1, .adaptive = true}));
  // Not the same pages again soon: those the window would know.
  for (uint64_t i = 0; i < 128; ++i) ASSERT_TRUE(sender.send(run(i * 16 % 192, 8)));
  EXPECT_LE(counters_.compressed.get() / 8, 64u);
}

TEST_P(MultifdSenderAdaptive, packets_of_zeros_name_the_method_and_measure_nothing) {
  for (size_t page = 0; page < 204; ++page) fill(page, 0);
  ASSERT_TRUE(
      sender_.set_style({.codec = &codec(), .level = 1, .zero_pages = true, .adaptive = true}));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(sender_.send(run(0, 10)));
  for (const Sent& s : sent()) EXPECT_EQ(s.packet.flags, codec().flag);
  EXPECT_EQ(counters_.compressed.get(), 0u);
}

constexpr auto name_of = [](const auto& made) {
  return made.param == MultifdCompression::zlib ? "zlib" : "zstd";
};
INSTANTIATE_TEST_SUITE_P(Methods, MultifdSenderMethods,
                         ::testing::Values(MultifdCompression::zlib, MultifdCompression::zstd),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Methods, MultifdSenderAdaptive,
                         ::testing::Values(MultifdCompression::zlib, MultifdCompression::zstd),
                         name_of);

}  // namespace
}  // namespace tern
