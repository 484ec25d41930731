// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_multifd.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

StreamMaker channel() {
  StreamMaker m;
  m.be32(kMultifdMagic).be32(1).fill(16, 0xab).u8(3).fill(39, 0);
  return m;
}

struct Packet {
  uint32_t flags = 0;
  uint32_t alloc = 128;
  uint32_t normal = 0;
  uint32_t payload = 0;
  uint32_t zero = 0;
  const char* block = "m";
  uint64_t first_offset = 0;
  size_t data = 0;  // bytes that really follow
};
StreamMaker& put(StreamMaker& m, const Packet& p) {
  m.be32(kMultifdMagic)
      .be32(1)
      .be32(p.flags)
      .be32(p.alloc)
      .be32(p.normal)
      .be32(p.payload)
      .be64(17)
      .be32(p.zero)
      .fill(28, 0);
  const std::string block = p.block;
  m.text(block).fill(256 - block.size(), 0);
  for (uint64_t i = 0; i < 128; ++i) m.be64(p.first_offset + i * 4096);
  return m.fill(p.data, 1);
}
Inspected with(const Packet& p) {
  StreamMaker m = channel();
  return inspect_bytes(put(m, p).take());
}

TEST(InspectMultifd, packets_say_what_they_carry) {
  const Inspected seen =
      with({.normal = 2, .payload = 8192, .zero = 1, .first_offset = 0x10000, .data = 8192});
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("initial-packet")["channel"], 3);
  const Json p = seen.item("packet");
  EXPECT_EQ(p["number"], 17);
  EXPECT_EQ(p["block"], "m");
  EXPECT_EQ(p["first"], 0x10000);
  EXPECT_EQ(p["last"], 0x12000);
  EXPECT_EQ(seen.json["summary"]["zero"], 1);
}

TEST(InspectMultifd, without_pages_the_payload_length_means_nothing) {
  // What a 7.2 source sends after a packet with SYNC and pages: stale length, stale name, no
  // payload.
  const Inspected seen = with({.flags = 1, .payload = 0x18000, .block = ""});
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("packet")["flags"][0], "sync");
  EXPECT_EQ(seen.json["summary"]["syncs"], 1);
}

TEST(InspectMultifd, device_state_packets_have_a_head_of_their_own) {
  StreamMaker m = channel();
  m.be32(kMultifdMagic).be32(1).be32(0x40).text("vfio").fill(252, 0).be32(2).be32(100).fill(100, 7);
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("device-state-packet")["idstr"], "vfio");
  EXPECT_EQ(seen.item("device-state-packet")["instance_id"], 2);
}

TEST(InspectMultifd, hostile_packets_are_refused) {
  const auto is = [](const Packet& p, const std::string& why) {
    const std::string error = with(p).error();
    EXPECT_NE(error.find(why), std::string::npos) << error << " instead of " << why;
  };
  is({.flags = 0x80}, "unknown flags 128");
  is({.flags = 0x41}, "device state packet with other flags");
  is({.alloc = 129}, "allocated 129");
  is({.normal = 129}, "129 normal");
  is({.normal = 100, .zero = 29}, "100 normal and 29 zero");
  is({.normal = 1, .payload = 4097, .data = 4097}, "payload of 4097 bytes for 1 pages");
  is({.flags = 2, .normal = 1, .payload = 0x7fffffff}, "payload of 2147483647 bytes");
  is({.normal = 1, .payload = 4096, .block = ""}, "RAM block name is empty");
  is({.normal = 1, .payload = 4096, .first_offset = 5}, "not a page boundary");
  is({.normal = 1, .payload = 4096, .data = 100}, "end of stream");
}

TEST(InspectMultifd, every_packet_has_the_magic_and_the_version) {
  StreamMaker wrong = channel();
  EXPECT_NE(
      inspect_bytes(wrong.be32(0x11223345).take()).error().find("64: packet without the magic"),
      std::string::npos);
  StreamMaker later = channel();
  EXPECT_NE(
      inspect_bytes(later.be32(kMultifdMagic).be32(2).take()).error().find("68: packet version 2"),
      std::string::npos);
}

}  // namespace
}  // namespace tern::tool
