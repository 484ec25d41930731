// SPDX-License-Identifier: Apache-2.0
#include "base/stream_io.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;

std::vector<std::byte> ramp(size_t n) {
  std::vector<std::byte> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

// ---- StreamReader

TEST(StreamReader, reads_big_endian_numbers_in_order) {
  MemoryChannel channel(bytes_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  StreamReader in(channel);
  EXPECT_EQ(*in.u8("a"), 0x01);
  EXPECT_EQ(*in.be16("b"), 0x0203);
  EXPECT_EQ(*in.be32("c"), 0x04050607u);
  EXPECT_EQ(*in.be64("d"), 0x08090a0b0c0d0e0fu);
  EXPECT_EQ(in.offset(), 15u);
}

class StreamReaderPieces : public testing::TestWithParam<size_t> {};

TEST_P(StreamReaderPieces, content_does_not_depend_on_how_the_link_cuts_it) {
  const auto sent = ramp(10000);
  MemoryChannel channel(sent);
  channel.read_piece = GetParam();
  StreamReader in(channel, 64);
  std::vector<std::byte> got;
  for (const size_t step : {1u, 64u, 33u, 5000u, 2u, 900u, 4000u}) {
    std::vector<std::byte> part(step);
    ASSERT_TRUE(in.read(part, "part"));
    got.insert(got.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(std::equal(got.begin(), got.end(), sent.begin()));
  EXPECT_EQ(in.offset(), got.size());
}
INSTANTIATE_TEST_SUITE_P(Pieces, StreamReaderPieces, testing::Values(1, 3, 63, 64, 65, 100000));

TEST(StreamReader, take_gives_a_view_of_the_next_bytes) {
  MemoryChannel channel(bytes_of("abcdef"));
  StreamReader in(channel, 4);
  const auto first = *in.take(3, "first");
  EXPECT_EQ(std::vector(first.begin(), first.end()), bytes_of("abc"));
  const auto second = *in.take(3, "second");
  EXPECT_EQ(std::vector(second.begin(), second.end()), bytes_of("def"));
}

TEST(StreamReader, a_take_larger_than_the_buffer_is_our_own_bug) {
  MemoryChannel channel(ramp(100));
  StreamReader in(channel, 16);
  const auto r = in.take(17, "too much");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::internal);
}

TEST(StreamReader, end_of_stream_names_what_was_being_read_and_where) {
  MemoryChannel channel(bytes_of({1, 2, 3}));
  StreamReader in(channel);
  ASSERT_TRUE(in.u8("first"));
  const auto r = in.be32("section id");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::channel);
  EXPECT_EQ(r.error().message(), "end of stream at offset 3 while reading section id");
}

TEST(StreamReader, an_error_of_the_link_rises_with_what_was_being_read) {
  MemoryChannel channel;
  channel.read_error = Error(ErrorCode::timed_out, "x-stall-timeout");
  StreamReader in(channel);
  const auto r = in.u8("footer");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(r.error().message(), "footer: x-stall-timeout");
}

TEST(StreamReader, counted_string_is_a_length_byte_and_as_many_characters) {
  MemoryChannel channel(bytes_of({3, 'r', 'a', 'm', 9}));
  StreamReader in(channel);
  EXPECT_EQ(*in.counted_string("idstr"), "ram");
  EXPECT_EQ(*in.u8("next"), 9);
}

TEST(StreamReader, an_empty_counted_string_is_malformed) {
  MemoryChannel channel(bytes_of({0, 0, 0}));
  StreamReader in(channel);
  const auto r = in.counted_string("idstr");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::peer_protocol);
  EXPECT_NE(r.error().message().find("idstr is empty"), std::string::npos) << r.error().message();
}

TEST(StreamReader, peek_does_not_take) {
  MemoryChannel channel(bytes_of({7, 8}));
  StreamReader in(channel);
  EXPECT_EQ(*in.peek_u8("item"), 7);
  EXPECT_EQ(in.offset(), 0u);
  EXPECT_EQ(*in.u8("item"), 7);
}

TEST(StreamReader, take_available_hands_out_everything_once_and_then_nothing) {
  MemoryChannel channel(ramp(50));
  channel.read_piece = 20;
  StreamReader in(channel, 32);
  std::vector<std::byte> got;
  for (;;) {
    const auto some = in.take_available(15);
    ASSERT_TRUE(some);
    if (some->empty()) break;
    EXPECT_LE(some->size(), 15u);
    got.insert(got.end(), some->begin(), some->end());
  }
  EXPECT_EQ(got, ramp(50));
}

TEST(StreamReader, at_end_is_true_only_behind_the_last_byte) {
  MemoryChannel channel(bytes_of({1}));
  StreamReader in(channel);
  EXPECT_FALSE(*in.at_end());
  ASSERT_TRUE(in.u8("last"));
  EXPECT_TRUE(*in.at_end());
}

TEST(StreamReader, malformed_names_the_offset_and_the_reason) {
  MemoryChannel channel(ramp(10));
  StreamReader in(channel);
  ASSERT_TRUE(in.be32("head"));
  const Error e = in.malformed("unknown item 9");
  EXPECT_EQ(e.code(), ErrorCode::peer_protocol);
  EXPECT_NE(e.message().find("at offset "), std::string::npos);
  EXPECT_NE(e.message().find("unknown item 9"), std::string::npos);
}

// ---- StreamWriter

TEST(StreamWriter, nothing_leaves_before_the_flush) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(out.put_be32(0x51455649));
  EXPECT_TRUE(channel.written.empty());
  EXPECT_EQ(out.offset(), 4u);
  EXPECT_EQ(out.accepted(), 0u);
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, bytes_of({0x51, 0x45, 0x56, 0x49}));
  EXPECT_EQ(out.accepted(), 4u);
}

class StreamWriterPieces : public testing::TestWithParam<size_t> {};

TEST_P(StreamWriterPieces, content_does_not_depend_on_how_much_the_link_takes) {
  MemoryChannel channel;
  channel.write_piece = GetParam();
  StreamWriter out(channel);
  const auto page = ramp(4096);
  std::vector<std::byte> expected;
  for (unsigned i = 0; i < 40; ++i) {
    ASSERT_TRUE(out.put_be16(static_cast<uint16_t>(i)));
    ASSERT_TRUE(out.put_reference(page.data(), page.size()));
    ASSERT_TRUE(out.put_counted_string("pc.ram"));
    const auto head = bytes_of({0, i});
    const auto name = bytes_of("\x06pc.ram");
    expected.insert(expected.end(), head.begin(), head.end());
    expected.insert(expected.end(), page.begin(), page.end());
    expected.insert(expected.end(), name.begin(), name.end());
  }
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, expected);
  EXPECT_EQ(out.offset(), expected.size());
  EXPECT_EQ(out.accepted(), expected.size());
}
INSTANTIATE_TEST_SUITE_P(Pieces, StreamWriterPieces, testing::Values(1, 7, 4096, 5000, 1 << 20));

TEST(StreamWriter, more_slices_than_one_system_call_takes_are_split) {
  MemoryChannel channel;
  StreamWriter out(channel);
  const auto page = ramp(16);
  for (size_t i = 0; i < 3 * StreamWriter::kMaxSlices; ++i) {
    ASSERT_TRUE(out.put_reference(page.data(), page.size()));
  }
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written.size(), 3 * StreamWriter::kMaxSlices * page.size());
  EXPECT_LE(channel.most_slices, StreamWriter::kMaxSlices);
}

TEST(StreamWriter, headers_that_follow_each_other_share_one_slice) {
  MemoryChannel channel;
  StreamWriter out(channel);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(out.put_be64(static_cast<uint64_t>(i)));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.most_slices, 1u);
}

TEST(StreamWriter, copied_bytes_larger_than_its_memory_arrive_whole) {
  MemoryChannel channel;
  StreamWriter out(channel);
  const auto big = ramp(3 * StreamWriter::kArenaBytes + 17);
  ASSERT_TRUE(out.put(big));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, big);
}

TEST(StreamWriter, a_referenced_page_leaves_as_it_is_at_the_flush) {
  MemoryChannel channel;
  StreamWriter out(channel);
  auto page = ramp(64);
  ASSERT_TRUE(out.put_reference(page.data(), page.size()));
  page[5] = std::byte{0xee};
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, page);
}

TEST(StreamWriter, accepted_says_how_far_the_link_came_when_it_broke) {
  MemoryChannel channel;
  channel.write_piece = 10;
  channel.write_error = Error(ErrorCode::channel, "reset");
  channel.write_error_after = 30;
  StreamWriter out(channel);
  ASSERT_TRUE(out.put(ramp(100)));
  const auto r = out.flush();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message(), "reset");
  EXPECT_EQ(out.accepted(), 30u);
  EXPECT_EQ(out.offset(), 100u);
}

TEST(StreamWriter, names_the_wire_cannot_carry_are_refused) {
  MemoryChannel channel;
  StreamWriter out(channel);
  for (const size_t n : {size_t{0}, size_t{256}}) {
    const auto r = out.put_counted_string(std::string(n, 'x'));
    ASSERT_FALSE(r) << n;
    EXPECT_EQ(r.error().code(), ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(out.put_counted_string(std::string(255, 'x')));
  EXPECT_EQ(out.offset(), 256u);
}

}  // namespace
}  // namespace tern
