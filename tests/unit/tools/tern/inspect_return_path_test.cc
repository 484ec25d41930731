// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_return_path.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

Inspected back(const std::vector<std::byte>& bytes) {
  InspectOptions options;
  options.format = InspectFormat::return_path;
  return inspect_bytes(bytes, options);
}

TEST(InspectReturnPath, every_captured_one_is_read_to_its_shut) {
  for (const char* name : {"7.2-return-path", "7.2-multifd-zstd", "11.1-return-path",
                           "11.1-multifd-none", "7.2-postcopy"}) {
    const Inspected seen = back(capture(std::string(name) + "/conn0.to-source.bin"));
    EXPECT_EQ(seen.error(), "") << name;
    EXPECT_EQ(seen.json["summary"]["shut"], true) << name;
    EXPECT_EQ(seen.item("pong")["value"], 1);
    EXPECT_EQ(seen.item("shut")["meaning"], "success");
  }
}

TEST(InspectReturnPath, messages_of_postcopy_are_decoded) {
  StreamMaker m;
  m.be16(3).be16(19).be64(0x1596000).be32(0x1000).name("pc.ram");
  m.be16(4).be16(12).be64(0x15a5000).be32(0x1000);
  m.be16(5).be16(7).name("pc.ram").be64(16).fill(15, 0xff).u8(1).be64(0x0123456789abcdef);
  m.be16(6).be16(4).be32(1).be16(7).be16(0);
  const Inspected seen = back(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("req-pages-id")["block"], "pc.ram");
  EXPECT_EQ(seen.item("req-pages")["start"], 0x15a5000);
  EXPECT_EQ(seen.item("recv-bitmap")["pages_received"], 121);
  EXPECT_EQ(seen.json["summary"]["shut"], false);  // a fact, not an error
}

TEST(InspectReturnPath, terns_hello_is_decoded) {
  StreamMaker m;
  m.be16(0x5401).be16(14).be16(1).be16(2).be32(3).name("0.1.0").be16(0xd402).be16(0);
  const Inspected seen = back(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("tern-hello")["version"], "0.1.0");
  EXPECT_FALSE(seen.item("tern-loaded").is_null());
}

TEST(InspectReturnPath, hostile_messages_are_refused) {
  EXPECT_EQ(back(StreamMaker().be16(9).be16(0).take()).error(),
            "0: unknown return path message 0x9");
  EXPECT_EQ(back(StreamMaker().be16(1).be16(4).be32(0).be16(2).be16(4).be32(1).take()).error(),
            "8: message after shut");
  EXPECT_NE(back(StreamMaker().be16(3).be16(19).be64(0).be32(0).name("short").u8(0).take())
                .error()
                .find("does not fill"),
            std::string::npos);
  EXPECT_NE(back(StreamMaker().be16(5).be16(2).name("m").be64(7).take())
                .error()
                .find("received bitmap of 7 bytes"),
            std::string::npos);
  EXPECT_NE(back(StreamMaker().be16(5).be16(2).name("m").be64(8).be64(0).be64(1).take())
                .error()
                .find("end mark"),
            std::string::npos);
  EXPECT_NE(back(StreamMaker().be16(6).be16(4).be32(2).take()).error().find("not 1"),
            std::string::npos);
  EXPECT_NE(back(StreamMaker().be16(1).be16(4).be16(0).take()).error().find("end of stream"),
            std::string::npos);
}

}  // namespace
}  // namespace tern::tool
