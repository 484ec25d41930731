// SPDX-License-Identifier: Apache-2.0
#include "ram/codec/xbzrle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/doubles/guarded_pages.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using Bytes = std::vector<std::byte>;
using Outcome = XbzrleEncoder::Outcome;

constexpr size_t kPage = kTargetPageBytes;

std::vector<PageOps> supported() {
  std::vector<PageOps> list;
  for (const PageOps& ops : page_ops_list()) {
    if ((ops.features & ~cpu_features()) == 0) list.push_back(ops);
  }
  return list;
}

// The format's rules in the plainest form; too long: empty.
Bytes plain_encoding(const Bytes& old, const Bytes& now) {
  Bytes out;
  const auto length = [&](size_t v) {
    if (v > 0x7f) out.push_back(static_cast<std::byte>((v & 0x7f) | 0x80));
    out.push_back(static_cast<std::byte>(v > 0x7f ? v >> 7 : v));
  };
  size_t at = 0;
  while (at < kPage) {
    const size_t begin = at;
    while (at < kPage && old[at] == now[at]) ++at;
    if (at == kPage) break;
    const size_t first = at;
    while (at < kPage && old[at] != now[at]) ++at;
    length(first - begin);
    length(at - first);
    out.insert(out.end(), now.begin() + static_cast<ptrdiff_t>(first),
               now.begin() + static_cast<ptrdiff_t>(at));
    if (out.size() > kPage) return {};
  }
  return out;
}

// Every variant must say what the plain form says, and the decoder must make `now` of it.
Bytes encode(const Bytes& old, const Bytes& now) {
  const Bytes expected = plain_encoding(old, now);
  for (const PageOps& ops : supported()) {
    XbzrleEncoder encoder(ops);
    Bytes cached = old;
    const Outcome outcome = encoder.encode(cached.data(), now.data());
    EXPECT_EQ(cached, now) << ops.name << ": what is cached is what the destination will have";
    if (old == now) {
      EXPECT_EQ(outcome, Outcome::unchanged) << ops.name;
      continue;
    }
    EXPECT_EQ(outcome, expected.empty() ? Outcome::overflow : Outcome::patch) << ops.name;
    if (outcome != Outcome::patch) continue;
    const Bytes payload(encoder.payload().begin(), encoder.payload().end());
    EXPECT_EQ(payload, expected) << ops.name;
    Bytes there = old;
    EXPECT_TRUE(decode_xbzrle(payload, there).has_value()) << ops.name;
    EXPECT_EQ(there, now) << ops.name;
  }
  return expected;
}

Bytes changed(Bytes page, size_t first, const Bytes& to) {
  std::copy(to.begin(), to.end(), page.begin() + static_cast<ptrdiff_t>(first));
  return page;
}

TEST(Xbzrle, what_qemu_sends_for_small_changes) {
  const Bytes old(kPage);
  EXPECT_EQ(encode(old, changed(old, 0, bytes_of({0x42}))), bytes_of({0x00, 0x01, 0x42}));
  EXPECT_EQ(encode(old, changed(old, 100, bytes_of({0x61, 0x62, 0x63}))),
            bytes_of({0x64, 0x03, 0x61, 0x62, 0x63}));
  EXPECT_EQ(encode(old, changed(old, 300, bytes_of({0x42}))), bytes_of({0xac, 0x02, 0x01, 0x42}));
  Bytes captured = old;
  for (const size_t at : {1, 127, 1000, 3000, 4095}) captured[at] = std::byte{0xc6};
  EXPECT_EQ(encode(old, captured),
            bytes_of({0x01, 0x01, 0xc6, 0x7d, 0x01, 0xc6, 0xe8, 0x06, 0x01, 0xc6, 0xcf, 0x0f, 0x01,
                      0xc6, 0xc6, 0x08, 0x01, 0xc6}));
  Bytes apart = old;
  apart[0] = apart[2] = std::byte{7};
  EXPECT_EQ(encode(old, apart), bytes_of({0, 1, 7, 1, 1, 7}));
  EXPECT_EQ(encode(old, old), Bytes{});
}

TEST(Xbzrle, a_patch_may_be_as_long_as_the_page_and_no_longer) {
  const Bytes old(kPage);
  Bytes now(kPage, std::byte{1});
  EXPECT_TRUE(encode(old, now).empty()) << "2 + 2 + 4096";
  std::fill_n(now.begin(), 3, std::byte{0});
  const Bytes longest = encode(old, now);
  ASSERT_EQ(longest.size(), kPage);
  EXPECT_EQ(Bytes(longest.begin(), longest.begin() + 3), bytes_of({0x03, 0xfd, 0x1f}));
}

TEST(Xbzrle, runs_of_every_kind_and_place_are_encoded_as_the_plain_form_does) {
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 1000; ++round) {
    Bytes old(kPage);
    for (std::byte& b : old) b = static_cast<std::byte>(random());
    Bytes now = old;
    const size_t longest = size_t{1} << below(13);
    for (size_t runs = below(40); runs > 0; --runs) {
      const size_t at = below(kPage);
      const size_t count = std::min(kPage - at, 1 + below(longest));
      // Some bytes of a run stay as they are.
      for (size_t i = 0; i < count; ++i) {
        if (below(50) != 0) now[at + i] ^= static_cast<std::byte>(1 + below(255));
      }
    }
    encode(old, now);
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST(Xbzrle, every_single_byte_and_every_edge_of_a_group_is_seen) {
  const Bytes old(kPage, std::byte{0x80});
  for (size_t at = 0; at < kPage; ++at) {
    encode(old, changed(old, at, bytes_of({0})));
    const size_t group_end = std::min(kPage, (at / 64 + 1) * 64 + at % 3);
    encode(old, changed(old, at, Bytes(group_end - at, std::byte{1})));
    if (HasFailure()) FAIL() << "byte " << at;
  }
  Bytes alternating(kPage);
  for (size_t i = 0; i < kPage; i += 2) alternating[i] = std::byte{9};
  EXPECT_TRUE(encode(Bytes(kPage), alternating).empty());
}

TEST(Xbzrle, pages_at_the_end_of_mapped_memory_are_read_to_their_end_and_not_further) {
  const test::GuardedPages pages(1);
  const test::GuardedPages cache(1);
  for (const PageOps& ops : supported()) {
    pages.fill(1);
    cache.fill(0);
    XbzrleEncoder encoder(ops);
    EXPECT_EQ(encoder.encode(cache.data(), pages.data()), Outcome::overflow);
    pages.data()[kPage - 1] = std::byte{2};
    EXPECT_EQ(encoder.encode(cache.data(), pages.data()), Outcome::patch);
    EXPECT_TRUE(decode_xbzrle(encoder.payload(), pages.all()).has_value());
  }
}

void refused(const Bytes& payload, const std::string& why) {
  const test::GuardedPages page(1);
  page.fill(0x5a);
  const auto decoded = decode_xbzrle(payload, page.all());
  ASSERT_FALSE(decoded.has_value()) << why;
  EXPECT_EQ(decoded.error().code(), ErrorCode::peer_protocol);
  EXPECT_NE(decoded.error().message().find(why), std::string::npos) << decoded.error().message();
  EXPECT_TRUE(std::all_of(page.all().begin(), page.all().end(), [](std::byte b) {
    return b == std::byte{0x5a};
  })) << "a broken patch changes nothing";
}

TEST(Xbzrle, broken_patches_are_refused_before_a_byte_is_written) {
  refused(bytes_of({0, 0, 9}), "a run of no bytes at byte 1");
  refused(bytes_of({1, 1, 9, 0, 1, 9}), "a zero run of length 0 at byte 3");
  refused(bytes_of({5}), "a run is cut off at byte 0");
  refused(bytes_of({0, 1, 9, 5}), "a run is cut off at byte 3");
  refused(bytes_of({0, 1, 9, 5, 2}), "a run is cut off at byte 4");
  refused(bytes_of({0x80, 0x80, 1, 9}), "a run length of more than two bytes at byte 0");
  refused(bytes_of({1, 0x81, 0x80, 9}), "a run length of more than two bytes at byte 1");
  refused(bytes_of({0xff, 0x1f, 2, 9, 9}), "a run goes past the page at byte 0");
  refused(bytes_of({0xff, 0x7f, 1, 9}), "a run goes past the page");
  refused(bytes_of({0, 1, 7, 0xff, 0x1f, 1, 9}), "a run goes past the page at byte 3");
  refused(bytes_of({0, 3, 9, 9}), "a run goes past the record at byte 2");
  refused(bytes_of({0, 0xff, 0x7f, 9}), "a run goes past the record");
}

TEST(Xbzrle, what_qemu_takes_is_taken) {
  Bytes page(kPage);
  EXPECT_TRUE(decode_xbzrle({}, page).has_value()) << "no change";
  EXPECT_TRUE(decode_xbzrle(bytes_of({0x84, 0x00, 1, 9}), page).has_value()) << "not minimal";
  EXPECT_EQ(page[4], std::byte{9});
}

}  // namespace
}  // namespace tern
