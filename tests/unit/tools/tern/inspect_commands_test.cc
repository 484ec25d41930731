// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_commands.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

// The command alone: the stream of a recovered postcopy begins with one and ends with EOF.
Inspected with(StreamMaker& payload, uint16_t command, bool verbose = false) {
  const auto bytes = payload.take();
  StreamMaker m;
  m.raw({8}).be16(command).be16(static_cast<uint16_t>(bytes.size())).raw(bytes).u8(0);
  InspectOptions options;
  options.verbose = verbose;
  return inspect_bytes(m.take(), options);
}

TEST(InspectCommands, the_captured_examples_are_decoded) {
  StreamMaker advise;
  advise.be64(0x201000).be64(0x1000);
  const Json a = with(advise, 3).item("command");
  EXPECT_EQ(a["command"], "postcopy-advise");
  EXPECT_EQ(a["page_sizes"], 0x201000);
  StreamMaker discard;
  discard.u8(0).name("pc.ram").u8(0).be64(0x100000).be64(0x1f00000).be64(0).be64(0x1000);
  const Json d = with(discard, 6, true).item("command");
  EXPECT_EQ(d["block"], "pc.ram");
  EXPECT_EQ(d["ranges"], 2);
  EXPECT_EQ(d["bytes"], 0x1f01000);
  EXPECT_EQ(d["records"][0]["start"], 0x100000);
  StreamMaker ping;
  ping.be32(0x42);
  EXPECT_EQ(with(ping, 2).item("command")["value"], 0x42);
}

TEST(InspectCommands, terns_dialect_is_decoded) {
  StreamMaker dialect;
  dialect.be16(1).be32(3);
  const Json d = with(dialect, 0xd401).item("command");
  EXPECT_EQ(d["command"], "tern-dialect");
  EXPECT_EQ(d["go"], true);
  StreamMaker zero;
  zero.name("m").be64(0).be64(0x4000);
  EXPECT_EQ(with(zero, 0x5402).item("command")["bytes"], 0x4000);
  StreamMaker ping;
  ping.be32(kTernPing);
  EXPECT_TRUE(with(ping, 2).item("command").contains("meaning"));
  StreamMaker later;
  later.text("something new");
  EXPECT_EQ(with(later, 0x5499).item("command")["payload_bytes"], 13);
}

TEST(InspectCommands, hostile_payloads_are_refused) {
  const auto is = [](StreamMaker& payload, uint16_t command, const std::string& why) {
    const std::string error = with(payload, command).error();
    EXPECT_NE(error.find(why), std::string::npos) << error << " instead of " << why;
  };
  is(StreamMaker().u8(1).name("m").u8(0).be64(0).be64(0), 6, "discard version 1");
  is(StreamMaker().u8(0).name("m").u8(7).be64(0).be64(0), 6, "no 0 after the block name");
  is(StreamMaker().u8(0).name("m").u8(0), 6, "discard of 4 bytes");
  is(StreamMaker().u8(0).name("m").u8(0).be64(0), 6, "ranges of 8 bytes");
  is(StreamMaker().u8(0).name("m").u8(0).be64(UINT64_MAX).be64(2), 6, "past 64 bits");
  is(StreamMaker().u8(0).u8(200).u8(0), 6, "end of stream");
  is(StreamMaker().name("m").u8(9), 10, "does not fill the command");
  is(StreamMaker().name("mm"), 0x5402, "tern-zero-run of 3 bytes");
  is(StreamMaker().be16(99).be32(0), 0xd401, "tern dialect 99");
}

TEST(InspectCommands, a_package_must_end_where_it_says_and_hold_no_other) {
  const auto package = [](uint32_t n, StreamMaker& inside) {
    StreamMaker m;
    m.raw({8, 0, 7, 0, 4}).be32(n).raw(inside.take()).u8(0);
    return inspect_bytes(m.take());
  };
  EXPECT_EQ(
      package(10, StreamMaker().command(Command::postcopy_listen).command(Command::postcopy_run))
          .error(),
      "");
  EXPECT_NE(
      package(7, StreamMaker().command(Command::postcopy_listen).command(Command::postcopy_run))
          .error()
          .find("past the end of its package"),
      std::string::npos);
  EXPECT_NE(package(9, StreamMaker().raw({8, 0, 7, 0, 4}).be32(0))
                .error()
                .find("package inside a package"),
            std::string::npos);
  EXPECT_NE(package(1, StreamMaker().u8(0)).error().find("item 0 cannot begin here"),
            std::string::npos);
}

}  // namespace
}  // namespace tern::tool
