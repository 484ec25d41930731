// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/return_path.h"

#include <gtest/gtest.h>

#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;
using test::StreamMaker;

Result<ReturnMessage> read(std::vector<std::byte> bytes) {
  MemoryChannel channel(std::move(bytes));
  StreamReader in(channel, 4096);
  return read_return_message(in);
}

TEST(ReturnPath, the_captured_one_is_pong_1_and_shut_0) {
  for (const char* version : {"7.2", "11.1"}) {
    MemoryChannel channel(test::capture(std::string(version) + "-return-path/conn0.to-source.bin"));
    StreamReader in(channel, 4096);
    const auto pong = read_return_message(in);
    ASSERT_TRUE(pong);
    EXPECT_EQ(pong->type, static_cast<uint16_t>(ReturnType::pong));
    EXPECT_EQ(pong->payload, bytes_of({0, 0, 0, 1}));
    const auto shut = read_return_message(in);
    ASSERT_TRUE(shut);
    EXPECT_EQ(shut->type, static_cast<uint16_t>(ReturnType::shut));
    EXPECT_EQ(shut->payload, bytes_of({0, 0, 0, 0}));
    EXPECT_TRUE(*in.at_end());
  }
}

TEST(ReturnPath, each_message_has_the_lengths_of_its_row_and_no_other) {
  struct Case {
    uint16_t type;
    uint16_t length;
    bool legal;
  };
  const Case cases[] = {
      {0, 0, false},       {1, 4, true},         {1, 0, false},        {1, 5, false},
      {2, 4, true},        {3, 13, false},       {3, 14, true},        {3, 268, true},
      {3, 269, false},     {4, 12, true},        {4, 13, false},       {5, 1, false},
      {5, 2, true},        {5, 257, false},      {6, 4, true},         {6, 0, false},
      {7, 0, true},        {7, 1, false},        {8, 0, false},        {9, 0, false},
      {0x5401, 8, false},  {0x5401, 9, true},    {0x5401, 513, false}, {0xd402, 0, true},
      {0x54ff, 512, true}, {0x54ff, 513, false}, {0xd4ff, 0, false},   {0xffff, 4, false},
  };
  for (const Case& c : cases) {
    const auto m = read(StreamMaker().be16(c.type).be16(c.length).fill(c.length, 1).take());
    EXPECT_EQ(m.has_value(), c.legal) << c.type << " with " << c.length;
    EXPECT_EQ(m ? m->payload.size() : c.length, c.length);
  }
}

TEST(ReturnPath, a_message_cut_short_is_the_end_of_the_stream) {
  const auto m = read(bytes_of({0, 1, 0, 4, 0, 0}));
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().code(), ErrorCode::channel);
}

TEST(ReturnPath, what_is_written_is_what_qemu_sends) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(write_return_be32(out, ReturnType::pong, 0x42));
  ASSERT_TRUE(write_return_empty(out, ReturnType::switchover_ack));
  ASSERT_TRUE(write_return_be32(out, ReturnType::shut, 1));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written,
            bytes_of({0, 2, 0, 4, 0, 0, 0, 0x42, 0, 7, 0, 0, 0, 1, 0, 4, 0, 0, 0, 1}));
}

TEST(TernHello, is_read_as_written) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(write_tern_hello(out, {1, 9, 0xf0, "0.1.0"}));
  ASSERT_TRUE(out.flush());
  const auto m = read(channel.written);
  ASSERT_TRUE(m);
  const auto hello = parse_tern_hello(*m);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->oldest, 1);
  EXPECT_EQ(hello->newest, 9);
  EXPECT_EQ(hello->features, 0xf0u);
  EXPECT_EQ(hello->version, "0.1.0");
}

TEST(TernHello, of_a_later_version_may_say_more) {
  const auto m = read(
      StreamMaker().be16(0x5401).be16(13).be16(1).be16(2).be32(0).name("x").text("abc").take());
  ASSERT_TRUE(m);
  EXPECT_TRUE(parse_tern_hello(*m));
}

TEST(TernHello, hostile_ones_are_refused) {
  const auto fails = [](std::vector<std::byte> payload) {
    return !parse_tern_hello({static_cast<uint16_t>(ReturnType::tern_hello), std::move(payload)})
                .has_value();
  };
  EXPECT_TRUE(fails({}));
  EXPECT_TRUE(fails(StreamMaker().be16(1).be16(1).be32(0).u8(0).take()));  // no version
  EXPECT_TRUE(fails(StreamMaker().be16(1).be16(1).be32(0).u8(9).text("short").take()));  // cut
  EXPECT_TRUE(fails(StreamMaker().be16(0).be16(1).be32(0).name("x").take()));
  EXPECT_TRUE(fails(StreamMaker().be16(3).be16(2).be32(0).name("x").take()));
  EXPECT_TRUE(
      fails(StreamMaker().be16(1).be16(1).be32(0).name("\x1b[2J").take()));  // terminals obey that
}

}  // namespace
}  // namespace tern
