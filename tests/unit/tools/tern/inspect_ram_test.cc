// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_ram.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

constexpr uint64_t kPage = 4096;

// A stream whose one PART holds `records`.
Inspected with_records(const std::vector<std::byte>& records, bool verbose = false) {
  StreamMaker m;
  m.opening("none")
      .ram_start("m", 16 * kPage)
      .part(kItemSectionPart, 1)
      .raw(records)
      .eos()
      .footer(1)
      .ram_end()
      .end();
  InspectOptions options;
  options.verbose = verbose;
  return inspect_bytes(m.take(), options);
}
std::string reason_of(const StreamMaker& records) {
  const Inspected seen = with_records(const_cast<StreamMaker&>(records).take());
  return seen.failure ? seen.failure->reason : "";
}

StreamMaker xbzrle(const std::vector<std::byte>& payload, unsigned encoding = 1) {
  StreamMaker m;
  m.be64(0x40)
      .name("m")
      .u8(static_cast<uint8_t>(encoding))
      .be16(static_cast<uint16_t>(payload.size()))
      .raw(payload);
  return m;
}

TEST(InspectRam, pages_are_counted_by_kind_and_block_with_their_range) {
  StreamMaker m;
  m.page("m", 3 * kPage, 1).zero("", 5 * kPage).zero("m", 1 * kPage).be64(0x200);
  const Json part = with_records(m.take()).item("section-part");
  EXPECT_EQ(part["pages"]["normal"], 1);
  EXPECT_EQ(part["pages"]["zero"], 2);
  EXPECT_EQ(part["pages"]["data_bytes"], kPage);
  EXPECT_EQ(part["multifd_flushes"], 1);
  EXPECT_EQ(part["blocks"][0]["name"], "m");
  EXPECT_EQ(part["blocks"][0]["first"], kPage);
  EXPECT_EQ(part["blocks"][0]["last"], 5 * kPage);
}

TEST(InspectRam, verbose_lists_every_record_with_its_offset) {
  StreamMaker m;
  m.page("m", 3 * kPage, 1).zero("", 5 * kPage);
  const Json part = with_records(m.take(), true).item("section-part");
  ASSERT_EQ(part["records"].size(), 2u);
  EXPECT_EQ(part["records"][0]["record"], "page");
  EXPECT_EQ(part["records"][1]["record"], "zero");
  EXPECT_EQ(part["records"][1]["address"], 5 * kPage);
  EXPECT_EQ(
      part["records"][1]["offset"].get<uint64_t>() - part["records"][0]["offset"].get<uint64_t>(),
      8 + 2 + kPage);
}

TEST(InspectRam, the_examples_of_xbzrle_are_read) {
  EXPECT_EQ(reason_of(xbzrle(bytes_of({0x00, 0x01, 0x42}))), "");
  EXPECT_EQ(reason_of(xbzrle(bytes_of({0x64, 0x03, 0x61, 0x62, 0x63}))), "");
  EXPECT_EQ(reason_of(xbzrle(bytes_of({0xac, 0x02, 0x01, 0x42}))), "");
  EXPECT_EQ(reason_of(xbzrle(bytes_of({0x01, 0x01, 0xc6, 0x7d, 0x01, 0xc6, 0xe8, 0x06, 0x01, 0xc6,
                                       0xcf, 0x0f, 0x01, 0xc6, 0xc6, 0x08, 0x01, 0xc6}))),
            "");
  EXPECT_EQ(reason_of(xbzrle({})), "");
  auto nearly_all = bytes_of({0x03, 0xfd, 0x1f});
  nearly_all.resize(4096);
  EXPECT_EQ(reason_of(xbzrle(nearly_all)), "");
  const Json part = with_records(xbzrle(bytes_of({0x00, 0x01, 0x42})).take()).item("section-part");
  EXPECT_EQ(part["pages"]["xbzrle"], 1);
}

TEST(InspectRam, malformed_xbzrle_is_refused) {
  const auto is = [](const StreamMaker& m, const std::string& why) {
    const std::string reason = reason_of(m);
    EXPECT_NE(reason.find(why), std::string::npos) << reason << " instead of " << why;
  };
  is(xbzrle(bytes_of({0, 1, 0x42}), 2), "XBZRLE encoding 2");
  is(xbzrle(std::vector<std::byte>(4097)), "XBZRLE record of 4097 bytes");
  is(xbzrle(bytes_of({0, 0, 9})), "non-zero run of length 0");
  is(xbzrle(bytes_of({1, 1, 9, 0, 1, 9})), "zero run of length 0");
  is(xbzrle(bytes_of({5})), "ends inside a run");
  is(xbzrle(bytes_of({1, 1, 9, 5})), "ends inside a run");
  is(xbzrle(bytes_of({0x80, 0x80, 1, 9})), "run length is malformed");
  is(xbzrle(bytes_of({0xff, 0x1f, 2, 9, 9})), "past the page");
  is(xbzrle(bytes_of({0, 3, 9, 9})), "past the record");
}

TEST(InspectRam, compressed_pages_must_be_zlib_of_possible_length) {
  const auto compressed = [](const std::vector<std::byte>& data, uint32_t n) {
    StreamMaker m;
    m.be64(0x100).name("m").be32(n).raw(data);
    return m;
  };
  const auto good = bytes_of({0x78, 0x01, 0x63, 0x60, 0x00, 0x00, 0x01});
  EXPECT_EQ(reason_of(compressed(good, 7)), "");
  EXPECT_EQ(with_records(compressed(good, 7).take()).item("section-part")["pages"]["compressed"],
            1);
  EXPECT_NE(reason_of(compressed(good, 4111)).find("compressed page of 4111 bytes"),
            std::string::npos);
  EXPECT_NE(reason_of(compressed(good, 0x80000000)).find("compressed page of"), std::string::npos);
  EXPECT_NE(
      reason_of(compressed(bytes_of({0x78, 0x02, 0, 0, 0, 0, 0}), 7)).find("not a zlib stream"),
      std::string::npos);
}

TEST(InspectRam, hostile_records_are_refused_where_they_stand) {
  const auto is = [](StreamMaker&& m, const std::string& why) {
    const std::string reason = reason_of(m);
    EXPECT_NE(reason.find(why), std::string::npos) << reason << " instead of " << why;
  };
  is(std::move(StreamMaker().be64(0x28)), "CONTINUE before any block was named");
  is(std::move(StreamMaker().be64(0x08).name("x")), "'x', which was not listed");
  is(std::move(StreamMaker().page("m", 16 * kPage, 1)), "outside RAM block 'm'");
  is(std::move(StreamMaker().be64(0x02).name("m").u8(3)), "fill byte 3");
  is(std::move(StreamMaker().be64(0x1000 | 4).name("n").be64(0x1000)), "a second list");
}

Inspected with_list(const Configuration& c, const std::vector<std::byte>& list,
                    bool advised = false) {
  StreamMaker m;
  m.opening(c);
  if (advised)
    m.command(Command::postcopy_advise,
              bytes_of({0, 0, 0, 0, 0, 0x20, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x10, 0}));
  m.begin(kItemSectionStart, {1, "ram", 0, 4}).raw(list).eos().footer(1).ram_end().end();
  return inspect_bytes(m.take());
}

TEST(InspectRam, page_sizes_of_huge_blocks_are_found_in_the_list) {
  Configuration c;
  c.machine = "pc";
  StreamMaker m;
  m.be64(0x201000 | 4).name("huge").be64(0x200000).be64(0x200000).name("small").be64(0x1000);
  const Inspected seen = with_list(c, m.take(), true);
  EXPECT_EQ(seen.error(), "");
  const Json blocks = seen.item("section-start")["block_list"]["block"];
  EXPECT_EQ(blocks[0]["page_size"], 0x200000);
  EXPECT_FALSE(blocks[1].contains("page_size"));
}

TEST(InspectRam, guest_addresses_are_in_the_list_with_x_ignore_shared) {
  Configuration c;
  c.machine = "pc";
  c.capabilities = {"x-ignore-shared"};
  StreamMaker m;
  m.be64(0x3000 | 4).name("a").be64(0x2000).be64(0x100000000).name("b").be64(0x1000).be64(0);
  const Inspected seen = with_list(c, m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("section-start")["block_list"]["block"][0]["gpa"], 0x100000000);
  StreamMaker both;
  both.be64(0x200000 | 4).name("huge").be64(0x200000).be64(0x200000).be64(0x200000);
  const Inspected two = with_list(c, both.take(), true);
  EXPECT_EQ(two.error(), "");
  EXPECT_EQ(two.item("section-start")["block_list"]["block"][0]["page_size"], 0x200000);
  EXPECT_EQ(two.item("section-start")["block_list"]["block"][0]["gpa"], 0x200000);
}

TEST(InspectRam, a_mapped_ram_file_is_followed_to_its_pages) {
  Configuration c;
  c.machine = "none";
  c.capabilities = {"mapped-ram"};
  StreamMaker m;
  m.opening(c)
      .begin(kItemSectionStart, {1, "ram", 0, 4})
      .be64(3 * kPage | 4)
      .name("m")
      .be64(3 * kPage);
  const uint64_t bitmap = m.size() + 28;
  m.be32(1).be64(kPage).be64(bitmap).be64(0x100000).raw({5, 0, 0, 0, 0, 0, 0, 0});
  m.fill(0x100000 - m.size(), 0).fill(3 * kPage, 9).eos().footer(1).ram_end().end();
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  const Json block = seen.item("section-start")["block_list"]["block"][0]["mapped_ram"];
  EXPECT_EQ(block["bitmap_offset"], bitmap);
  EXPECT_EQ(block["pages_offset"], 0x100000);
  EXPECT_EQ(block["pages_present"], 2);
}

TEST(InspectRam, mapped_ram_headers_that_point_backwards_are_refused) {
  Configuration c;
  c.machine = "none";
  c.capabilities = {"mapped-ram"};
  const auto with_header = [&](uint32_t version, uint64_t page, uint64_t bitmap, uint64_t pages) {
    StreamMaker m;
    m.be64(kPage | 4).name("m").be64(kPage).be32(version).be64(page).be64(bitmap).be64(pages);
    return with_list(c, m.take()).error();
  };
  EXPECT_NE(with_header(2, kPage, 200, 0x100000).find("mapped-ram version 2"), std::string::npos);
  EXPECT_NE(with_header(1, 0, 200, 0x100000).find("mapped-ram page size 0"), std::string::npos);
  EXPECT_NE(with_header(1, kPage, 8, 0x100000).find("before the end of its header"),
            std::string::npos);
  EXPECT_NE(with_header(1, kPage, 5000, 4096).find("do not fit behind their bitmap"),
            std::string::npos);
  EXPECT_NE(with_header(1, kPage, 5000, 8191).find("do not fit behind their bitmap"),
            std::string::npos);
  EXPECT_NE(with_header(1, kPage, 5000, 0xfffffffffffff000).find("do not fit"), std::string::npos);
  EXPECT_NE(with_header(1, kPage, 0xfffffffffffffff8, 0x100000).find("do not fit"),
            std::string::npos);
}

}  // namespace
}  // namespace tern::tool
