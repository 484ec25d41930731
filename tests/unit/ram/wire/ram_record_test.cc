// SPDX-License-Identifier: Apache-2.0
#include "ram/wire/ram_record.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;

TEST(RecordWord, exactly_the_legal_ones_of_all_flag_combinations_pass) {
  const std::set<uint64_t> legal = {0x002, 0x022, 0x008, 0x028, 0x040, 0x060,
                                    0x100, 0x120, 0x004, 0x010, 0x080, 0x200};
  for (uint64_t flags = 0; flags <= kFlagMask; ++flags) {
    EXPECT_EQ(parse_record_word(flags).has_value(), legal.contains(flags)) << std::hex << flags;
  }
}

TEST(RecordWord, an_address_goes_with_pages_and_the_total_only) {
  for (const uint64_t flags : {0x002u, 0x008u, 0x040u, 0x100u, 0x004u, 0x028u}) {
    const auto r = parse_record_word(0x7ffff000 | flags);
    ASSERT_TRUE(r);
    EXPECT_EQ(r->offset, 0x7ffff000u);
    EXPECT_EQ(r->cont, (flags & kContinueFlag) != 0);
  }
  for (const uint64_t flags : {0x010u, 0x080u, 0x200u})
    EXPECT_FALSE(parse_record_word(0x1000 | flags));
}

TEST(RecordWord, an_illegal_one_is_named_with_its_offset) {
  MemoryChannel channel(bytes_of({9, 9, 0, 0, 0, 0, 0, 0, 0x10, 0x0a}));
  StreamReader in(channel, 64);
  ASSERT_TRUE(in.be16("something before"));
  const auto r = read_record_word(in);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::peer_protocol);
  EXPECT_EQ(r.error().message(),
            "at offset 2: RAM record word 0x000000000000100a: unknown combination of flags");
}

TEST(Records, are_written_as_qemu_writes_them) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(write_block_list_head(out, 0x100000));
  ASSERT_TRUE(write_block(out, "m", 0x100000));
  ASSERT_TRUE(write_record_head(out, RecordKind::page, 0x3000, "m"));
  ASSERT_TRUE(write_record_head(out, RecordKind::zero, 0x4000, ""));
  ASSERT_TRUE(write_eos(out));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written,
            bytes_of({0,    0, 0, 0, 0,    0x10, 0, 0x04, 1, 'm',  0,    0, 0,   0,   0,
                      0x10, 0, 0, 0, 0,    0,    0, 0,    0, 0x30, 0x08, 1, 'm', 0,   0,
                      0,    0, 0, 0, 0x40, 0x22, 0, 0,    0, 0,    0,    0, 0,   0x10}));
}

TEST(Records, the_heads_of_packed_pages_are_checked_before_their_payload_is_read) {
  MemoryChannel channel;
  StreamWriter out(channel);
  ASSERT_TRUE(write_xbzrle(out, 0x103000, "", bytes_of({1, 1, 0xc6})));
  ASSERT_TRUE(write_compressed(out, 0x4000, "m", bytes_of({9, 9})));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(channel.written, bytes_of({0, 0, 0, 0, 0, 0x10, 0x30, 0x60, 1,   0, 3, 1, 1, 0xc6, 0,
                                       0, 0, 0, 0, 0, 0x41, 0,    1,    'm', 0, 0, 0, 2, 9,    9}));
  const auto fault = [](const std::vector<std::byte>& bytes, auto read) {
    MemoryChannel from(bytes);
    StreamReader in(from, 8192);
    const auto payload = read(in);
    return payload ? "" : payload.error().message();
  };
  std::vector<std::byte> page(4096 + 3);
  page[0] = std::byte{1};
  page[1] = std::byte{0x10};
  EXPECT_EQ(fault(page, read_xbzrle), "");
  page[2] = std::byte{1};
  EXPECT_EQ(fault(page, read_xbzrle),
            "at offset 1: XBZRLE record of 4097 bytes, longer than a page");
  EXPECT_EQ(fault(bytes_of({2, 0, 0}), read_xbzrle),
            "at offset 0: XBZRLE encoding 2, only 1 is known");
  EXPECT_EQ(fault(bytes_of({0x80, 0, 0, 1}), read_compressed),
            "at offset 0: compressed page of 2147483649 bytes, zlib needs at most 4110");
  EXPECT_EQ(fault(bytes_of({0, 0, 0x10, 0x0f}), read_compressed),
            "at offset 0: compressed page of 4111 bytes, zlib needs at most 4110");
}

TEST(Records, each_kind_has_a_name) {
  for (const int kind : {0x002, 0x004, 0x008, 0x010, 0x040, 0x080, 0x100, 0x200}) {
    EXPECT_NE(to_string(static_cast<RecordKind>(kind)), "unknown");
  }
}

}  // namespace
}  // namespace tern
