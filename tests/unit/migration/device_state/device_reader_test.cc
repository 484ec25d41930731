// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tern/device_section.h"
#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;

TEST(DeviceReader, reads_every_kind_of_field_in_qemus_encoding) {
  const auto bytes = test::StreamMaker()
                         .u8(1)
                         .u8(0xfe)
                         .be16(0x1234)
                         .be32(0xdeadbeef)
                         .be64(0x0123456789abcdef)
                         .be32(0xffffffff)
                         .be64(0x8000000000000000)
                         .text("abc")
                         .be32(5)
                         .be32(6)
                         .be64(7)
                         .be64(8)
                         .take();
  DeviceReader r(bytes, 1000);
  EXPECT_TRUE(*r.get_bool("a"));
  EXPECT_EQ(*r.get_u8("b"), 0xfe);
  EXPECT_EQ(*r.get_u16("c"), 0x1234);
  EXPECT_EQ(*r.get_u32("d"), 0xdeadbeefu);
  EXPECT_EQ(*r.get_u64("e"), 0x0123456789abcdefu);
  EXPECT_EQ(*r.get_i32("f"), -1);
  EXPECT_EQ(*r.get_i64("g"), INT64_MIN);
  const auto text = r.get_buffer("h", 3);
  ASSERT_TRUE(text);
  EXPECT_EQ((*text)[2], std::byte{'c'});
  uint32_t words[2];
  ASSERT_TRUE(r.get_u32_array("i", words));
  EXPECT_EQ(words[1], 6u);
  uint64_t longs[2];
  ASSERT_TRUE(r.get_u64_array("j", longs));
  EXPECT_EQ(longs[1], 8u);
  EXPECT_EQ(r.left(), 0u);
  EXPECT_EQ(r.stream_offset(), 1000 + bytes.size());
}

TEST(DeviceReader, a_field_past_the_end_names_itself_and_the_offset) {
  const auto bytes = bytes_of({1, 2, 3});
  DeviceReader r(bytes, 500);
  ASSERT_TRUE(r.get_u16("first"));
  const auto late = r.get_u32("second");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::peer_protocol);
  EXPECT_EQ(late.error().message(),
            "field 'second' at offset 502 needs 4 bytes, the section has 1 left");
  EXPECT_EQ(r.left(), 1u);  // a failed read takes nothing
}

TEST(DeviceReader, sizes_that_would_wrap_around_are_refused) {
  const auto bytes = bytes_of({1, 2, 3});
  DeviceReader r(bytes, 0);
  EXPECT_FALSE(r.get_buffer("huge", SIZE_MAX));
  EXPECT_TRUE(r.get_buffer("none", 0));
  EXPECT_EQ(r.left(), 3u);
}

TEST(DeviceReader, a_bad_value_is_the_peers_fault) {
  DeviceReader r({}, 42);
  const Error e = r.bad_value("speed", "must be odd");
  EXPECT_EQ(e.code(), ErrorCode::peer_protocol);
  EXPECT_EQ(e.message(), "field 'speed' before offset 42: must be odd");
}

}  // namespace
}  // namespace tern
