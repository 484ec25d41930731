// SPDX-License-Identifier: Apache-2.0
//
// What every method promises.
#include "ram/codec/page_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/unit/ram/codec/codec_channel.h"

namespace tern {
namespace {

using namespace test;

struct Case {
  MultifdCompression method;
  uint32_t level;
};

class PageCodecTest : public ::testing::TestWithParam<Case> {
 protected:
  const PageCodec& codec() const { return *find_page_codec(GetParam().method); }
  std::unique_ptr<PageEncoder> encoder() const {
    auto made = codec().make_encoder(GetParam().level);
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  std::unique_ptr<PageDecoder> decoder() const { return std::move(*codec().make_decoder()); }
  /// A decoder for the widest windows takes milliseconds to make.
  static size_t tries(size_t usual) { return GetParam().level >= 19 ? usual / 10 : usual; }
};

TEST(PageCodec, the_table_has_every_method_but_none) {
  EXPECT_EQ(find_page_codec(MultifdCompression::none), nullptr);
  ASSERT_EQ(page_codecs().size(), 2u);
  EXPECT_EQ(find_page_codec(MultifdCompression::zlib)->flag, kMultifdZlib);
  EXPECT_EQ(find_page_codec(MultifdCompression::zstd)->flag, kMultifdZstd);
  for (const PageCodec& codec : page_codecs()) EXPECT_EQ(find_page_codec(codec.method), &codec);
}

TEST_P(PageCodecTest, packets_of_any_size_and_content_come_out_as_they_went_in) {
  const auto encoder = this->encoder();
  const auto decoder = this->decoder();
  std::mt19937_64 random(7);
  const GuardedPages from(256);
  const GuardedPages to(256);
  for (const Content content :
       {Content::zero, Content::random, Content::text, Content::mixed, Content::zero}) {
    for (const size_t count : {1, 2, 63, 64, 128, 1, 128}) {
      fill(from.all(), content, random);
      const size_t step = random() % 2 + 1;  // in one piece, or page by page
      const auto source = pieces_of(from, 0, count, step);
      const size_t to_step = random() % 2 + 1;
      const auto target = pieces_of(to, 256 - ((count - 1) * to_step + 1), count, to_step);
      const Bytes payload = encoded(*encoder, source);
      ASSERT_EQ(decode(*decoder, payload, target), "") << count;
      ASSERT_EQ(joined(target), joined(source)) << count << " pages of " << int(content);
    }
  }
}

TEST_P(PageCodecTest, only_the_pieces_are_written) {
  const auto packets = some_packets(3, 8);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  const auto decoder = this->decoder();
  const GuardedPages to(17);
  for (size_t i = 0; i < packets.size(); ++i) {
    to.fill(0xa5);
    const auto pieces = pieces_of(to, 1, 8, 2);
    ASSERT_EQ(decode(*decoder, payloads[i], pieces), "");
    EXPECT_EQ(joined(pieces), packets[i]);
    for (size_t page = 0; page < 17; page += 2) {
      for (const std::byte b : to.page(page)) ASSERT_EQ(b, std::byte{0xa5}) << page;
    }
  }
}

TEST_P(PageCodecTest, pages_that_repeat_an_earlier_packet_cost_little) {
  std::mt19937_64 random(3);
  Bytes page(4 * kPage);
  fill(page, Content::random, random);
  const auto payloads = channel_of(codec(), GetParam().level, {page, page});
  EXPECT_GT(payloads[0].size(), page.size());
  if (GetParam().method == MultifdCompression::zlib && GetParam().level == 0) {
    EXPECT_EQ(payloads[1].size(), payloads[0].size() - 2);  // it only stores, behind its header
    return;
  }
  EXPECT_LT(payloads[1].size(), page.size() * 3 / 4);
  const auto decoder = this->decoder();
  EXPECT_EQ(decode_channel(*decoder, payloads, {page, page}), "");
  // So the second means nothing without the first.
  const auto fresh = this->decoder();
  EXPECT_NE(decode_channel(*fresh, {payloads[1]}, {page}), "");
}

TEST_P(PageCodecTest, a_payload_cut_anywhere_is_an_error) {
  const auto packets = some_packets(2, 4, 5);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  const GuardedPages to(4);
  const std::span<std::byte> piece = to.all();
  for (size_t n = 0; n < payloads[1].size(); n += 1 + payloads[1].size() / tries(200)) {
    const auto decoder = this->decoder();
    ASSERT_EQ(decode(*decoder, payloads[0], std::span(&piece, 1)), "");
    const std::string error =
        decode(*decoder, std::span(payloads[1]).first(n), std::span(&piece, 1));
    // Behind the last page's bytes the marker of the flush may be missing.
    if (n + 16 >= payloads[1].size()) break;
    ASSERT_NE(error, "") << n << " of " << payloads[1].size();
  }
}

TEST_P(PageCodecTest, an_empty_payload_is_an_error) {
  const auto packets = some_packets(2, 2);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  const GuardedPages to(2);
  const std::span<std::byte> piece = to.all();
  const auto decoder = this->decoder();
  EXPECT_NE(decode(*this->decoder(), {}, std::span(&piece, 1)), "");
  ASSERT_EQ(decode(*decoder, payloads[0], std::span(&piece, 1)), "");
  EXPECT_NE(decode(*decoder, {}, std::span(&piece, 1)), "");
}

TEST_P(PageCodecTest, more_or_fewer_bytes_than_the_pages_are_an_error) {
  const auto packets = some_packets(1, 8);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  for (const size_t pages : {1, 7, 9, 128}) {
    const GuardedPages to(pages);
    const std::span<std::byte> piece = to.all();
    const std::string error = decode(*decoder(), payloads[0], std::span(&piece, 1));
    EXPECT_NE(error.find(pages < 8 ? "holds more than its pages" : "ends before its pages"),
              std::string::npos)
        << pages << ": " << error;
  }
}

TEST_P(PageCodecTest, flipped_bits_give_other_pages_or_an_error_and_touch_nothing_else) {
  const auto packets = some_packets(3, 4, 9);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  const GuardedPages to(4);
  const std::span<std::byte> piece = to.all();
  std::mt19937_64 random(11);
  size_t errors = 0;
  for (size_t run = 0; run < tries(500); ++run) {
    const auto decoder = this->decoder();
    for (Bytes payload : payloads) {
      payload[random() % payload.size()] ^= static_cast<std::byte>(1u << random() % 8);
      if (decode(*decoder, payload, std::span(&piece, 1)).empty()) continue;
      ++errors;
      break;
    }
  }
  const bool stores = GetParam().method == MultifdCompression::zlib && GetParam().level == 0;
  EXPECT_EQ(errors == 0, stores);  // stored bytes are as good as others
}

TEST_P(PageCodecTest, the_next_packets_behind_a_broken_one_do_no_harm) {
  const auto packets = some_packets(6, 4, 13);
  const auto payloads = channel_of(codec(), GetParam().level, packets);
  const GuardedPages to(4);
  const std::span<std::byte> piece = to.all();
  for (size_t left_out = 0; left_out < 5; ++left_out) {
    const auto decoder = this->decoder();
    for (size_t i = 0; i < payloads.size(); ++i) {
      if (i != left_out) decode(*decoder, payloads[i], std::span(&piece, 1));
    }
  }
}

// A guest that writes while its pages are packed. Each of its bytes has one of two values, which no
// other place of the page has nearby: what a compressor took from another place is found.
class WritingGuest {
 public:
  explicit WritingGuest(std::span<std::byte> memory) : memory_(memory) {
    write_as_a_guest(0);
    thread_ = std::thread([this] {
      for (unsigned turn = 1; !over_; ++turn) write_as_a_guest(turn);
    });
  }
  ~WritingGuest() { stop(); }
  void stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  static bool could_be(size_t at, std::byte b) { return b == value(at, 0) || b == value(at, 1); }

 private:
  static std::byte value(size_t at, unsigned turn) {
    const size_t word = at / 8;
    return static_cast<std::byte>((turn % 2 != 0 ? word * 7 + (word >> 6) : word / 64) + at % 8);
  }
  // As a vCPU does: nobody is asked. tests/tsan.supp knows it by its name.
  [[gnu::noinline]] void write_as_a_guest(unsigned turn) {
    for (size_t at = 0; at < memory_.size(); at += 8) {
      uint64_t word = 0;
      for (size_t i = 8; i-- > 0;) {
        word = word << 8 | std::to_integer<uint64_t>(value(at + i, turn));
      }
      std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory_.data() + at))
          .store(word, std::memory_order_relaxed);
    }
  }
  std::span<std::byte> memory_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// Few levels: under ThreadSanitizer each of these races costs seconds.
class PageCodecGuest : public PageCodecTest {};

TEST_P(PageCodecGuest, a_guest_that_writes_meanwhile_does_not_spoil_the_channel) {
  const auto encoder = this->encoder();
  const auto decoder = this->decoder();
  const GuardedPages from(64);
  const GuardedPages to(64);
  const std::span<std::byte> source = from.all();
  const std::span<std::byte> target = to.all();
  WritingGuest guest(from.all());
  constexpr int kPackets = 40;
  for (int i = 0; i < kPackets; ++i) {
    const size_t pages = i % 2 == 0 ? 64 : 8;
    const auto read = source.first(pages * kPage);
    const auto placed = target.first(pages * kPage);
    const Bytes payload = encoded(*encoder, std::span(&read, 1));
    ASSERT_EQ(decode(*decoder, payload, std::span(&placed, 1)), "") << i;
    for (size_t at = 0; at < placed.size(); ++at) {
      ASSERT_TRUE(WritingGuest::could_be(at, placed[at])) << "packet " << i << ", byte " << at;
    }
  }
  guest.stop();
  const Bytes payload = encoded(*encoder, std::span(&source, 1));
  ASSERT_EQ(decode(*decoder, payload, std::span(&target, 1)), "");
  EXPECT_EQ(joined(std::span(&source, 1)), joined(std::span(&target, 1)));
}

constexpr auto name_of = [](const auto& made) {
  return std::string(made.param.method == MultifdCompression::zlib ? "zlib" : "zstd") +
         std::to_string(made.param.level);
};

INSTANTIATE_TEST_SUITE_P(
    Levels, PageCodecTest,
    ::testing::Values(Case{MultifdCompression::zlib, 0}, Case{MultifdCompression::zlib, 1},
                      Case{MultifdCompression::zlib, 2}, Case{MultifdCompression::zlib, 3},
                      Case{MultifdCompression::zlib, 6}, Case{MultifdCompression::zlib, 9},
                      Case{MultifdCompression::zstd, 0}, Case{MultifdCompression::zstd, 1},
                      Case{MultifdCompression::zstd, 3}, Case{MultifdCompression::zstd, 19},
                      Case{MultifdCompression::zstd, 20}),
    name_of);
INSTANTIATE_TEST_SUITE_P(Levels, PageCodecGuest,
                         ::testing::Values(Case{MultifdCompression::zlib, 1},
                                           Case{MultifdCompression::zlib, 6},
                                           Case{MultifdCompression::zstd, 1}),
                         name_of);

}  // namespace
}  // namespace tern
