// SPDX-License-Identifier: Apache-2.0
//
// Streams of zstd itself against the decoder, streams of the encoder against zstd itself.
#include <gtest/gtest.h>
#include <zstd.h>

#include "tests/unit/ram/codec/codec_channel.h"

namespace tern {
namespace {

using namespace test;

// One channel as zstd makes it.
class Compress {
 public:
  explicit Compress(int level = 1, int window_log = 0) : context_(ZSTD_createCCtx()) {
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
    if (window_log != 0) ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, window_log);
  }
  ~Compress() { ZSTD_freeCCtx(context_); }
  Compress(const Compress&) = delete;
  Compress& operator=(const Compress&) = delete;
  void set(ZSTD_cParameter what, int value) { ZSTD_CCtx_setParameter(context_, what, value); }

  // As QEMU does: page by page, the flush with the last.
  Bytes packet(const Bytes& pages, ZSTD_EndDirective last = ZSTD_e_flush) {
    Bytes out(ZSTD_compressBound(pages.size()) + 1024);
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    for (size_t at = 0; at < pages.size(); at += kPage) {
      ZSTD_inBuffer from{pages.data() + at, std::min(kPage, pages.size() - at), 0};
      const auto how = at + kPage >= pages.size() ? last : ZSTD_e_continue;
      size_t left = 1;
      while (from.pos < from.size || (how != ZSTD_e_continue && left != 0)) {
        left = ZSTD_compressStream2(context_, &to, &from, how);
        if (ZSTD_isError(left) != 0) {
          ADD_FAILURE() << ZSTD_getErrorName(left);
          return {};
        }
      }
    }
    out.resize(to.pos);
    return out;
  }

 private:
  ZSTD_CCtx* context_;
};

std::unique_ptr<PageDecoder> zstd_decoder() { return std::move(*make_zstd_decoder()); }

TEST(Zstd, one_frame_that_never_ends_is_taken_at_every_level) {
  auto packets = some_packets(4, 16, 41);
  packets.push_back(packets[0]);
  packets.push_back(some_packets(1, 128, 42)[0]);
  packets.push_back(Bytes(kPage));
  for (const int level : {-5, 1, 3, 19, 20, 22}) {
    Compress stream(level);
    std::vector<Bytes> payloads;
    for (const Bytes& packet : packets) payloads.push_back(stream.packet(packet));
    EXPECT_EQ(decode_channel(*zstd_decoder(), payloads, packets), "") << level;
  }
}

TEST(Zstd, frames_that_end_in_every_packet_are_taken) {
  const auto packets = some_packets(5, 16, 43);
  Compress stream;
  std::vector<Bytes> payloads;
  for (const Bytes& packet : packets) payloads.push_back(stream.packet(packet, ZSTD_e_end));
  EXPECT_EQ(decode_channel(*zstd_decoder(), payloads, packets), "");
  // Then each stands alone.
  EXPECT_EQ(decode_channel(*zstd_decoder(), {payloads[3]}, {packets[3]}), "");
}

TEST(Zstd, frames_with_their_size_and_a_checksum_are_taken_and_checked) {
  const auto packets = some_packets(3, 16, 44);
  Compress stream;
  stream.set(ZSTD_c_checksumFlag, 1);
  std::vector<Bytes> payloads;
  for (const Bytes& packet : packets) payloads.push_back(stream.packet(packet, ZSTD_e_end));
  EXPECT_EQ(decode_channel(*zstd_decoder(), payloads, packets), "");
  payloads[1].back() ^= std::byte{1};
  EXPECT_EQ(decode_channel(*zstd_decoder(), payloads, packets),
            "1: zstd: Restored data doesn't match checksum");
}

TEST(Zstd, frames_may_end_now_and_then) {
  const auto packets = some_packets(40, 3, 45);
  Compress stream;
  std::mt19937_64 random(6);
  std::vector<Bytes> payloads;
  for (const Bytes& packet : packets) {
    payloads.push_back(stream.packet(packet, random() % 3 == 0 ? ZSTD_e_end : ZSTD_e_flush));
  }
  EXPECT_EQ(decode_channel(*zstd_decoder(), payloads, packets), "");
}

TEST(Zstd, several_frames_in_one_packet_are_taken) {
  const auto packets = some_packets(2, 2, 46);
  Compress stream;
  Bytes payload = stream.packet(packets[0], ZSTD_e_end);
  const Bytes second = stream.packet(packets[1], ZSTD_e_end);
  payload.insert(payload.end(), second.begin(), second.end());
  Bytes both = packets[0];
  both.insert(both.end(), packets[1].begin(), packets[1].end());
  EXPECT_EQ(decode_channel(*zstd_decoder(), {payload}, {both}), "");
}

TEST(Zstd, without_a_flush_pages_are_missing) {
  const auto packets = some_packets(1, 4, 47);
  Compress stream;
  EXPECT_NE(decode_channel(*zstd_decoder(), {stream.packet(packets[0], ZSTD_e_continue)}, packets),
            "");
}

TEST(Zstd, what_is_no_frame_is_refused) {
  const Bytes nonsense(100, std::byte{0x11});
  EXPECT_EQ(decode_channel(*zstd_decoder(), {nonsense}, {Bytes(kPage)}),
            "0: zstd: Unknown frame descriptor");
}

TEST(Zstd, bytes_behind_the_pages_are_refused) {
  const auto packets = some_packets(1, 2, 48);
  for (const auto end : {ZSTD_e_flush, ZSTD_e_end}) {
    Compress stream;
    Bytes payload = stream.packet(packets[0], end);
    payload.insert(payload.end(), 40, std::byte{0xff});
    EXPECT_NE(decode_channel(*zstd_decoder(), {payload}, packets), "");
  }
}

TEST(Zstd, a_payload_that_grows_without_end_is_refused_at_its_pages) {
  for (const size_t pages : {2, 256, 25600}) {
    Compress stream;
    const Bytes bomb = stream.packet(Bytes(pages * kPage), ZSTD_e_end);
    ASSERT_LE(bomb.size(), size_t{kMultifdMaxPayload});
    EXPECT_EQ(decode_channel(*zstd_decoder(), {bomb}, {Bytes(kPage)}),
              "0: zstd: the payload holds more than its pages");
  }
}

TEST(Zstd, windows_to_2_to_the_27_are_taken_and_larger_ones_refused) {
  const auto packets = some_packets(2, 4, 49);
  for (const int log : {10, 27}) {
    Compress stream(1, log);
    EXPECT_EQ(decode_channel(*zstd_decoder(),
                             {stream.packet(packets[0]), stream.packet(packets[1])}, packets),
              "")
        << log;
  }
  for (const int log : {28, 31}) {
    Compress stream(1, log);
    EXPECT_EQ(decode_channel(*zstd_decoder(), {stream.packet(packets[0])}, packets),
              "0: zstd: Frame requires too much memory for decoding")
        << log;
  }
}

// As QEMU sends them. (Frames that tell their size are decoded where they belong; no source that
// sends pages twice makes such.)
TEST(Zstd, placed_pages_of_an_endless_frame_are_not_read_back) {
  const RepeatedPage repeated;
  for (const int level : {1, 19}) {
    Compress stream(level);
    const Bytes first = stream.packet(repeated.packet);
    repeated.expect_not_read_back(*zstd_decoder(), {first, stream.packet(repeated.packet)});
  }
}

TEST(Zstd, what_the_encoder_writes_zstd_reads) {
  auto packets = some_packets(10, 16, 50);
  packets.push_back(some_packets(1, 128, 51)[0]);
  packets.push_back(packets[3]);
  packets.push_back(Bytes(128 * kPage));
  packets.push_back(Bytes(kPage));
  for (const uint32_t level : {0u, 1u, 20u}) {
    const auto payloads = channel_of(*find_page_codec(MultifdCompression::zstd), level, packets);
    ZSTD_DCtx* const context = ZSTD_createDCtx();
    for (size_t i = 0; i < packets.size(); ++i) {
      // As QEMU does: until the input is used up, page by page.
      Bytes out(packets[i].size());
      ZSTD_inBuffer from{payloads[i].data(), payloads[i].size(), 0};
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      for (int calls = 0; calls < 1000 && (from.pos < from.size || to.pos < to.size); ++calls) {
        const size_t left = ZSTD_decompressStream(context, &to, &from);
        ASSERT_EQ(ZSTD_isError(left), 0u) << ZSTD_getErrorName(left);
      }
      EXPECT_EQ(from.pos, from.size);
      EXPECT_EQ(out, packets[i]) << i;
    }
    ZSTD_freeDCtx(context);
  }
}

TEST(Zstd, levels_that_it_does_not_know_are_cut_to_those_it_does) {
  EXPECT_TRUE(make_zstd_encoder(0));
  EXPECT_TRUE(make_zstd_encoder(22));
}

}  // namespace
}  // namespace tern
