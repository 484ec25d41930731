// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/framing.h"

#include <gtest/gtest.h>

#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;
using test::StreamMaker;

struct Reading {
  explicit Reading(std::vector<std::byte> bytes) : channel(std::move(bytes)), in(channel, 4096) {}
  MemoryChannel channel;
  StreamReader in;
};

TEST(Header, is_the_eight_bytes_of_every_qemu) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(write_header(out));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, bytes_of({0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3}));
}

TEST(Header, other_magic_and_other_versions_are_refused_where_they_stand) {
  Reading magic(bytes_of({0x51, 0x45, 0x56, 0x4e, 0, 0, 0, 3}));
  EXPECT_EQ(read_header(magic.in).error().message(),
            "at offset 0: not a migration stream (magic 0x5145564e, not QEVM)");
  Reading version(bytes_of({0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 2}));
  EXPECT_EQ(read_header(version.in).error().message(),
            "at offset 4: stream version 2, only 3 is known");
}

TEST(Configuration, everything_written_is_read_again) {
  Configuration c;
  c.machine = "pc-i440fx-7.2";
  c.capabilities = {"x-ignore-shared", "mapped-ram"};
  c.page_bits = 12;
  c.uuid = Uuid{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  Reading r(StreamMaker().opening(c).eos().take());
  ASSERT_TRUE(read_header(r.in));
  ASSERT_EQ(*r.in.u8("item"), kItemConfiguration);
  const auto read = read_configuration(r.in);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->machine, c.machine);
  EXPECT_EQ(read->capabilities, c.capabilities);
  EXPECT_EQ(read->uuid, c.uuid);
}

TEST(Configuration, of_a_machine_without_extras_is_a_name_and_nothing_else) {
  const auto bytes = StreamMaker().opening("none").take();
  EXPECT_EQ(std::vector<std::byte>(bytes.begin() + 8, bytes.end()),
            bytes_of({7, 0, 0, 0, 4, 'n', 'o', 'n', 'e'}));
}

std::string configuration_error(const std::vector<std::byte>& bytes) {
  Reading r(bytes);
  const auto c = read_configuration(r.in);
  return c ? "" : c.error().message();
}

TEST(Configuration, hostile_ones_are_refused_with_the_reason) {
  const auto is = [](const std::vector<std::byte>& bytes, const std::string& part) {
    EXPECT_NE(configuration_error(bytes).find(part), std::string::npos)
        << configuration_error(bytes);
  };
  is(StreamMaker().be32(0).eos().take(), "at offset 0: machine name of 0 bytes");
  is(StreamMaker().be32(256).fill(256, 'a').take(), "machine name of 256 bytes");
  is(StreamMaker().be32(0xffffffff).take(), "machine name of 4294967295 bytes");
  const auto sub = [](const char* name, uint32_t version) {
    StreamMaker m;
    m.be32(1).text("x").u8(5).name(name).be32(version);
    return m;
  };
  is(sub("configuration/unheard-of", 1).take(), "unknown configuration subsection");
  is(sub("configuration/uuid", 2).fill(16, 0).take(), "version 2");
  is(sub("configuration/capabilities", 1).be32(65).take(), "more than 64 capabilities");
  StreamMaker repeats;
  repeats.be32(1).text("x");
  for (int i = 0; i < 17; ++i) repeats.u8(5).name("configuration/uuid").be32(1).fill(16, 0);
  is(repeats.take(), "more than 16 configuration subsections");
}

TEST(Section, header_and_footer_are_read_as_written) {
  Reading r(
      StreamMaker().begin(kItemSectionFull, {0xfffffffe, "a/b", 7, 3}).footer(0xfffffffe).take());
  ASSERT_EQ(*r.in.u8("item"), kItemSectionFull);
  const auto h = read_section_header(r.in);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->section_id, 0xfffffffeu);
  EXPECT_EQ(h->idstr, "a/b");
  EXPECT_EQ(h->instance_id, 7u);
  EXPECT_EQ(h->version_id, 3u);
  EXPECT_TRUE(read_footer(r.in, 0xfffffffe, "a/b"));
}

TEST(Section, an_empty_name_is_refused) {
  Reading r(StreamMaker().be32(1).u8(0).take());
  EXPECT_EQ(read_section_header(r.in).error().message(), "at offset 4: section name is empty");
}

TEST(Footer, missing_or_of_another_section_is_refused) {
  Reading missing(bytes_of({4, 0, 0, 0, 1}));
  EXPECT_EQ(read_footer(missing.in, 1, "x").error().message(),
            "at offset 0: section 'x' has no footer (found byte 4)");
  Reading other(StreamMaker().footer(2).take());
  EXPECT_EQ(read_footer(other.in, 1, "x").error().message(),
            "at offset 1: footer of section 2 after section 'x' (1)");
}

struct CommandCase {
  uint16_t command;
  uint16_t length;
  bool legal;
};

TEST(Command, each_has_the_lengths_of_its_row_and_no_other) {
  const CommandCase cases[] = {
      {0, 0, false},      {1, 0, true},       {1, 1, false},      {2, 4, true},
      {2, 0, false},      {2, 5, false},      {3, 0, true},       {3, 16, true},
      {3, 8, false},      {4, 0, true},       {5, 0, true},       {5, 1, false},
      {6, 0, false},      {6, 25, true},      {7, 4, true},       {7, 8, false},
      {8, 0, true},       {9, 0, true},       {10, 0, false},     {10, 3, true},
      {11, 0, true},      {11, 4, false},     {12, 0, false},     {0x5402, 19, true},
      {0x5402, 0, false}, {0xd401, 6, true},  {0xd401, 8, false}, {0xd403, 0, true},
      {0xd403, 1, false}, {0xffff, 0, false},
  };
  for (const CommandCase& c : cases) {
    Reading r(StreamMaker().be16(c.command).be16(c.length).take());
    EXPECT_EQ(read_command_header(r.in).has_value(), c.legal) << c.command << " with " << c.length;
  }
}

TEST(Command, unknown_optional_ones_of_tern_pass_and_unknown_mandatory_ones_do_not) {
  Reading optional(StreamMaker().be16(0x54ff).be16(99).take());
  const auto h = read_command_header(optional.in);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->length, 99);
  EXPECT_FALSE(is_known_command(h->command));
  Reading mandatory(StreamMaker().be16(0xd4ff).be16(99).take());
  EXPECT_EQ(read_command_header(mandatory.in).error().message(),
            "at offset 0: unknown command 0xd4ff");
}

TEST(Command, names_are_those_of_the_spec) {
  EXPECT_EQ(command_name(2), "ping");
  EXPECT_EQ(command_name(11), "switchover-start");
  EXPECT_EQ(command_name(0xd403), "tern-go");
  EXPECT_EQ(command_name(77), "command 0x4d");
}

TEST(Dialect, a_newer_protocol_or_an_unknown_feature_is_refused) {
  Reading good(StreamMaker().be16(kTernProtocol).be32(kTernFeatures).take());
  EXPECT_TRUE(read_tern_dialect(good.in));
  Reading none(StreamMaker().be16(0).be32(0).take());
  EXPECT_FALSE(read_tern_dialect(none.in));
  Reading newer(StreamMaker().be16(kTernProtocol + 1).be32(0).take());
  EXPECT_FALSE(read_tern_dialect(newer.in));
  Reading feature(StreamMaker().be16(kTernProtocol).be32(0x80000000).take());
  EXPECT_FALSE(read_tern_dialect(feature.in));
}

}  // namespace
}  // namespace tern
