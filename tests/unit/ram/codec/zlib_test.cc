// SPDX-License-Identifier: Apache-2.0
//
// Streams of zlib itself against the decoder, streams of the encoder against zlib itself.
#include <gtest/gtest.h>
#include <zlib.h>

#include "tests/unit/ram/codec/codec_channel.h"

namespace tern {
namespace {

using namespace test;

constexpr int kZlibFormat = 15;
constexpr int kRawFormat = -15;
constexpr int kGzipFormat = 15 + 16;

// One channel as zlib makes it.
class Deflate {
 public:
  explicit Deflate(int level = 1, int format = kZlibFormat) {
    EXPECT_EQ(deflateInit2(&stream_, level, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY), Z_OK);
  }
  ~Deflate() { deflateEnd(&stream_); }
  Deflate(const Deflate&) = delete;
  Deflate& operator=(const Deflate&) = delete;

  // As QEMU does: page by page, the flush with the last.
  Bytes packet(const Bytes& pages, int flush = Z_SYNC_FLUSH) {
    Bytes out(deflateBound(&stream_, pages.size()) + 64);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    for (size_t at = 0; at < pages.size(); at += kPage) {
      stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(pages.data() + at));
      stream_.avail_in = static_cast<uInt>(std::min(kPage, pages.size() - at));
      const bool last = at + kPage >= pages.size();
      deflate(&stream_, last ? flush : Z_NO_FLUSH);
    }
    out.resize(out.size() - stream_.avail_out);
    return out;
  }
  void reset() { deflateReset(&stream_); }

 private:
  z_stream stream_{};
};

std::unique_ptr<PageDecoder> zlib_decoder() { return std::move(*make_zlib_decoder()); }

std::vector<Bytes> deflated(const std::vector<Bytes>& packets, int level, int flush,
                            int format = kZlibFormat) {
  Deflate stream(level, format);
  std::vector<Bytes> payloads;
  for (const Bytes& packet : packets) payloads.push_back(stream.packet(packet, flush));
  return payloads;
}

TEST(Zlib, streams_of_zlib_with_any_flush_and_level_are_taken) {
  auto packets = some_packets(6, 16, 21);
  packets.push_back(packets[0]);
  packets.push_back(Bytes(kPage));
  packets.push_back(some_packets(1, 128, 22)[0]);
  packets.push_back(packets[1]);
  for (const int level : {0, 1, 6, 9}) {
    for (const int flush : {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH}) {
      const auto decoder = zlib_decoder();
      EXPECT_EQ(decode_channel(*decoder, deflated(packets, level, flush), packets), "")
          << "level " << level << ", flush " << flush;
    }
  }
}

TEST(Zlib, a_flush_may_differ_from_packet_to_packet) {
  const auto packets = some_packets(30, 3, 23);
  Deflate stream(6);
  std::vector<Bytes> payloads;
  std::mt19937_64 random(5);
  constexpr int kFlushes[] = {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH};
  for (const Bytes& packet : packets)
    payloads.push_back(stream.packet(packet, kFlushes[random() % 3]));
  EXPECT_EQ(decode_channel(*zlib_decoder(), payloads, packets), "");
}

TEST(Zlib, smaller_windows_are_taken) {
  const auto packets = some_packets(4, 16, 24);
  for (const int format : {9, 12, 14}) {
    EXPECT_EQ(decode_channel(*zlib_decoder(), deflated(packets, 6, Z_SYNC_FLUSH, format), packets),
              "")
        << format;
  }
}

TEST(Zlib, a_whole_stream_in_every_packet_is_refused) {
  const auto packets = some_packets(2, 4, 25);
  Deflate stream;
  const Bytes payload = stream.packet(packets[0], Z_FINISH);
  EXPECT_NE(decode_channel(*zlib_decoder(), {payload}, packets).find("the stream ends"),
            std::string::npos);
}

TEST(Zlib, raw_deflate_and_gzip_are_refused) {
  const auto packets = some_packets(1, 4, 26);
  for (const int format : {kRawFormat, kGzipFormat}) {
    EXPECT_NE(decode_channel(*zlib_decoder(), deflated(packets, 1, Z_SYNC_FLUSH, format), packets),
              "")
        << format;
  }
}

TEST(Zlib, without_a_flush_pages_are_missing) {
  const auto packets = some_packets(2, 4, 27);
  EXPECT_NE(decode_channel(*zlib_decoder(), deflated(packets, 6, Z_NO_FLUSH), packets), "");
}

TEST(Zlib, headers_that_are_none_are_refused) {
  const auto packets = some_packets(1, 2, 28);
  const Bytes good = deflated(packets, 1, Z_SYNC_FLUSH)[0];
  ASSERT_EQ(good[0], std::byte{0x78});
  const auto with = [&](unsigned first, unsigned second) {
    Bytes payload = good;
    payload[0] = static_cast<std::byte>(first);
    payload[1] = static_cast<std::byte>(second);
    return decode_channel(*zlib_decoder(), {payload}, packets);
  };
  EXPECT_EQ(with(0x78, 0x01), "");
  EXPECT_EQ(with(0x78, 0xda), "");
  for (const auto& [first, second] : {std::pair(0x78, 0x02),
                                      {0x79, 0x18},
                                      {0x88, 0x1c},
                                      {0x78, 0x20},
                                      {0x78, 0xbb},
                                      {0x00, 0x00},
                                      {0x1f, 0x8b}}) {
    EXPECT_EQ(with(static_cast<unsigned>(first), static_cast<unsigned>(second)),
              "0: zlib: not the header of a zlib stream")
        << first << " " << second;
  }
  EXPECT_EQ(decode_channel(*zlib_decoder(), {Bytes{std::byte{0x78}}}, packets),
            "0: zlib: the stream has no header");
}

TEST(Zlib, bytes_behind_the_pages_are_refused) {
  const auto packets = some_packets(1, 2, 29);
  Bytes payload = deflated(packets, 1, Z_SYNC_FLUSH)[0];
  // What cannot be the beginning of another block, and what is one with content.
  Bytes nonsense = payload;
  nonsense.insert(nonsense.end(), 64, std::byte{0xff});
  EXPECT_NE(decode_channel(*zlib_decoder(), {nonsense}, packets), "");
  const auto longer = deflated({Bytes(3 * kPage)}, 1, Z_SYNC_FLUSH);
  EXPECT_NE(decode_channel(*zlib_decoder(), longer, {Bytes(2 * kPage)}).find("holds more"),
            std::string::npos);
}

TEST(Zlib, a_mebibyte_of_zeros_in_one_page_is_refused) {
  for (const size_t pages : {2, 256, 25600}) {
    const auto bomb = deflated({Bytes(pages * kPage)}, 9, Z_SYNC_FLUSH);
    ASSERT_LE(bomb[0].size(), size_t{kMultifdMaxPayload});
    EXPECT_EQ(decode_channel(*zlib_decoder(), bomb, {Bytes(kPage)}),
              "0: zlib: the payload holds more than its pages");
  }
}

TEST(Zlib, matches_before_the_beginning_are_refused) {
  const auto packets = some_packets(2, 4, 30);
  auto payloads = deflated({packets[0], packets[0]}, 9, Z_SYNC_FLUSH);
  // The second packet as the first of a channel: its matches lead nowhere.
  Bytes second{payloads[0][0], payloads[0][1]};
  second.insert(second.end(), payloads[1].begin(), payloads[1].end());
  EXPECT_NE(decode_channel(*zlib_decoder(), {second}, {packets[0]}), "");
}

TEST(Zlib, placed_pages_are_not_read_back) {
  const RepeatedPage repeated;
  for (const int level : {1, 6, 9}) {
    repeated.expect_not_read_back(
        *zlib_decoder(), deflated({repeated.packet, repeated.packet}, level, Z_SYNC_FLUSH));
  }
}

// What a QEMU does with a payload: inflate with a sync flush, all input and all pages.
class ZlibLevel : public ::testing::TestWithParam<uint32_t> {};

TEST_P(ZlibLevel, what_the_encoder_writes_zlib_reads) {
  auto packets = some_packets(20, 16, 31);
  packets.push_back(some_packets(1, 128, 32)[0]);
  packets.push_back(packets[3]);
  packets.push_back(Bytes(128 * kPage));
  const auto payloads = channel_of(*find_page_codec(MultifdCompression::zlib), GetParam(), packets);
  z_stream stream{};
  ASSERT_EQ(inflateInit(&stream), Z_OK);
  for (size_t i = 0; i < packets.size(); ++i) {
    ASSERT_GE(payloads[i].size(), 4u);
    EXPECT_EQ(Bytes(payloads[i].end() - 4, payloads[i].end()),
              (Bytes{std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}}));
    Bytes out(packets[i].size());
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(payloads[i].data()));
    stream.avail_in = static_cast<uInt>(payloads[i].size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    ASSERT_EQ(inflate(&stream, Z_SYNC_FLUSH), Z_OK) << i;
    EXPECT_EQ(stream.avail_in, 0u);
    EXPECT_EQ(stream.avail_out, 0u);
    EXPECT_EQ(out, packets[i]) << i;
  }
  inflateEnd(&stream);
}

INSTANTIATE_TEST_SUITE_P(Levels, ZlibLevel, ::testing::Range(0u, 10u));

}  // namespace
}  // namespace tern
