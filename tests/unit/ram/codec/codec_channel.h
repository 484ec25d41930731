// SPDX-License-Identifier: Apache-2.0
//
// For tests of codecs: pages with content of several kinds, and both ends of one channel.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ram/codec/page_codec.h"
#include "tests/doubles/guarded_pages.h"

namespace tern::test {

inline constexpr size_t kPage = kTargetPageBytes;
using Bytes = std::vector<std::byte>;

enum class Content { zero, random, text, mixed };

inline void fill(std::span<std::byte> bytes, Content content, std::mt19937_64& random) {
  static constexpr std::string_view kWords[] = {"guest ", "memory ", "page ", "of ", "kernel\n"};
  const auto kind = content == Content::mixed ? static_cast<Content>(random() % 3) : content;
  if (kind == Content::zero) std::memset(bytes.data(), 0, bytes.size());
  if (kind == Content::random) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(random() & 0xff);
  }
  if (kind == Content::text) {
    for (size_t i = 0; i < bytes.size();) {
      for (const char c : kWords[random() % std::size(kWords)]) {
        if (i < bytes.size()) bytes[i++] = static_cast<std::byte>(c);
      }
    }
  }
}

/// Every `step`-th page from `first`; with a step of 1 one piece of all.
inline std::vector<std::span<std::byte>> pieces_of(const GuardedPages& memory, size_t first,
                                                   size_t count, size_t step = 1) {
  std::vector<std::span<std::byte>> pieces;
  if (step == 1) return {memory.page(first, count)};
  for (size_t i = 0; i < count; ++i) pieces.push_back(memory.page(first + i * step));
  return pieces;
}

inline Bytes joined(PagePieces pieces) {
  Bytes bytes;
  for (const auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

/// "" or what the decoder says; it must blame the peer.
inline std::string decode(PageDecoder& decoder, std::span<const std::byte> payload,
                          PagePieces pieces) {
  const auto decoded = decoder.decode(payload, pieces);
  if (decoded) return {};
  EXPECT_EQ(decoded.error().code(), ErrorCode::peer_protocol) << decoded.error().message();
  EXPECT_FALSE(decoded.error().message().empty());
  return decoded.error().message();
}

inline Bytes encoded(PageEncoder& encoder, PagePieces pieces) {
  const auto payload = encoder.encode(pieces);
  if (!payload) {
    ADD_FAILURE() << payload.error().message();
    return {};
  }
  EXPECT_LE(payload->size(), size_t{kMultifdMaxPayload});
  return {payload->begin(), payload->end()};
}

/// The payloads of packets of these pages, by the encoder.
inline std::vector<Bytes> channel_of(const PageCodec& codec, uint32_t level,
                                     const std::vector<Bytes>& packets) {
  auto encoder = codec.make_encoder(level);
  std::vector<Bytes> payloads;
  for (Bytes packet : packets) {
    const std::span<std::byte> piece(packet);
    payloads.push_back(encoded(**encoder, std::span(&piece, 1)));
  }
  return payloads;
}

/// `count` packets of `pages` pages of mixed content.
inline std::vector<Bytes> some_packets(size_t count, size_t pages, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<Bytes> packets;
  for (size_t i = 0; i < count; ++i) {
    Bytes& packet = packets.emplace_back(pages * kPage);
    for (size_t p = 0; p < pages; ++p) {
      fill(std::span(packet).subspan(p * kPage, kPage), Content::mixed, random);
    }
  }
  return packets;
}

/// What a decoder does with a whole channel: "" if every packet gave its pages, else the packet's
/// index and what is wrong with it.
inline std::string decode_channel(PageDecoder& decoder, const std::vector<Bytes>& payloads,
                                  const std::vector<Bytes>& packets) {
  for (size_t i = 0; i < packets.size(); ++i) {
    const GuardedPages memory(packets[i].size() / kPage);
    memory.fill(0xa5);
    const std::span<std::byte> piece = memory.all();
    const std::string error = decode(decoder, payloads[i], std::span(&piece, 1));
    if (!error.empty()) return std::to_string(i) + ": " + error;
    if (joined(std::span(&piece, 1)) != packets[i]) return std::to_string(i) + ": other bytes";
  }
  return {};
}

/// QEMU 7.2 may send a page on two channels at once (the last of a packet again as the first of the
/// next), so while a decoder places a page another may be writing it. `payloads` are two packets
/// of `packet`. Here the other writer is the decoder itself: the last three pages are one.
struct RepeatedPage {
  Bytes packet = Bytes(128 * kPage);
  RepeatedPage() {
    std::mt19937_64 random(17);
    fill(packet, Content::random, random);
    std::copy_n(packet.begin() + 125 * kPage, kPage, packet.begin() + 127 * kPage);
  }
  void expect_not_read_back(PageDecoder& decoder, const std::vector<Bytes>& payloads) const {
    const int file = memfd_create("page", MFD_CLOEXEC);
    ASSERT_EQ(ftruncate(file, kPage), 0);
    const GuardedPages to(128);
    for (size_t page = 125; page < 128; ++page) {
      ASSERT_NE(mmap(to.page(page).data(), kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     file, 0),
                MAP_FAILED);
    }
    close(file);
    const std::span<std::byte> piece = to.all();
    ASSERT_EQ(decode(decoder, payloads[0], std::span(&piece, 1)), "");
    EXPECT_TRUE(std::equal(packet.begin(), packet.begin() + 125 * kPage, piece.begin()));
    EXPECT_TRUE(
        std::equal(packet.begin() + 127 * kPage, packet.end(), piece.begin() + 127 * kPage));
    EXPECT_EQ(decode_channel(decoder, {payloads[1]}, {packet}), "");
  }
};

}  // namespace tern::test
