// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_live.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

// A stream whose first section is live, with this body; then RAM.
Inspected with_body(const char* idstr, const std::vector<std::byte>& body) {
  StreamMaker m;
  m.opening("pc")
      .begin(kItemSectionStart, {3, idstr, 0, 1})
      .raw(body)
      .footer(3)
      .ram_start("m", 4096)
      .ram_end()
      .end();
  InspectOptions options;
  options.verbose = true;
  return inspect_bytes(m.take(), options);
}
std::string reason(const char* idstr, StreamMaker& body) {
  const Inspected seen = with_body(idstr, body.take());
  return seen.failure ? seen.failure->reason : "";
}

TEST(InspectDirtyBitmap, the_example_of_the_spec_is_read) {
  const Inspected seen =
      with_body("dirty-bitmap", bytes_of({0x1c, 2,    'q', '0', 3,   'b', 'm', '1', 0, 1, 0, 0,
                                          1,    0x14, 3,   'b', 'm', '0', 0,   1,   0, 0, 1, 1}));
  EXPECT_EQ(seen.error(), "");
  const Json section = seen.item("section-start");
  EXPECT_EQ(section["chunks"], 2);
  EXPECT_EQ(section["records"][1]["record"], "start");
  EXPECT_EQ(section["records"][1]["node"], "q0");  // from the chunk before
  EXPECT_EQ(section["records"][1]["bitmap"], "bm0");
  EXPECT_EQ(section["records"][1]["granularity"], 65536);
  EXPECT_EQ(section["records"][1]["enabled"], true);
}

TEST(InspectDirtyBitmap, bits_zeroes_and_the_end_of_a_bitmap_are_read) {
  StreamMaker m;
  m.u8(0x4c).name("n").name("b").be64(0x80).be32(64).be64(8).fill(8, 0xff);
  m.u8(0x42).be64(0x100).be32(64).u8(0x20).u8(1);
  const Inspected seen = with_body("dirty-bitmap", m.take());
  EXPECT_EQ(seen.error(), "");
  const Json records = seen.item("section-start")["records"];
  EXPECT_EQ(records[0]["bytes"], 8);
  EXPECT_EQ(records[1]["zeroes"], true);
  EXPECT_EQ(records[2]["record"], "complete");
}

TEST(InspectDirtyBitmap, hostile_chunks_are_refused) {
  const auto is = [](StreamMaker& m, const std::string& why) {
    const std::string text = reason("dirty-bitmap", m);
    EXPECT_NE(text.find(why), std::string::npos) << text;
  };
  is(StreamMaker().u8(0x80), "flags 128");
  is(StreamMaker().u8(0x30), "flags 48");
  is(StreamMaker().u8(0x04).name("x").u8(1), "flags 4");
  is(StreamMaker().u8(0x1c).name("n").name("b").be32(1).u8(4), "bitmap flags 4");
  is(StreamMaker().u8(0x40).be64(0).be32(1).be64(0xffffffffffffffff),
     "bitmap chunk of 18446744073709551615 bytes");
  is(StreamMaker().u8(0x08).u8(0), "bitmap node name is empty");
}

TEST(InspectBlock, chunks_zeros_and_progress_are_read) {
  StreamMaker m;
  m.be64(0 << 9 | 1)
      .name("ide0-hd0")
      .fill(1u << 20, 5)
      .be64(2048u << 9 | 9)
      .name("ide0-hd0")
      .be64(75u << 9 | 4)
      .be64(2);
  const Inspected seen = with_body("block", m.take());
  EXPECT_EQ(seen.error(), "");
  const Json section = seen.item("section-start");
  EXPECT_EQ(section["chunks"], 1);
  EXPECT_EQ(section["zero_chunks"], 1);
  EXPECT_EQ(section["progress_percent"], 75);
  EXPECT_EQ(section["records"][1]["sector"], 2048);
}

TEST(InspectBlock, unknown_flags_and_missing_data_are_refused) {
  EXPECT_NE(reason("block", StreamMaker().be64(0x10)).find("flags 16"), std::string::npos);
  EXPECT_NE(reason("block", StreamMaker().be64(3)).find("flags 3"), std::string::npos);
  EXPECT_NE(
      reason("block", StreamMaker().be64(1).name("d").fill(100, 1)).find("block migration chunk"),
      std::string::npos);
}

}  // namespace
}  // namespace tern::tool
