// SPDX-License-Identifier: Apache-2.0
#include "ram/codec/zlib_page.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace tern {
namespace {

using Bytes = std::vector<std::byte>;
constexpr size_t kPage = kTargetPageBytes;

Bytes text_page() {
  Bytes page(kPage);
  for (size_t i = 0; i < kPage; ++i)
    page[i] = static_cast<std::byte>("guest memory "[i % 13] + i / 700);
  return page;
}
Bytes random_page() {
  std::mt19937 random(1);
  Bytes page(kPage);
  for (std::byte& b : page) b = static_cast<std::byte>(random());
  return page;
}
// As QEMU makes them: zlib, all of it at once.
Bytes zlib_of(const Bytes& data, int level) {
  uLongf size = compressBound(data.size());
  Bytes out(size);
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                      reinterpret_cast<const Bytef*>(data.data()), data.size(), level),
            Z_OK);
  out.resize(size);
  return out;
}
std::string fault(const Bytes& payload) {
  PageInflater inflater;
  Bytes page(kPage, std::byte{0x77});
  const auto done = inflater.inflate(payload, page);
  if (done) return "";
  EXPECT_EQ(done.error().code(), ErrorCode::peer_protocol);
  EXPECT_TRUE(std::all_of(page.begin(), page.end(), [](std::byte b) {
    return b == std::byte{0x77};
  })) << "a broken stream changes nothing";
  return done.error().message();
}

TEST(ZlibPage, every_level_makes_complete_streams_that_zlib_reads) {
  PageInflater inflater;
  for (uint32_t level = 1; level <= 9; ++level) {
    auto deflater = make_page_deflater(level);
    ASSERT_TRUE(deflater);
    for (int round = 0; round < 3; ++round) {  // the state of one page must not reach into the next
      const Bytes page = text_page();
      const auto made = (*deflater)->deflate(page);
      ASSERT_TRUE(made) << level;
      ASSERT_FALSE(made->empty()) << level;
      EXPECT_LT(made->size(), kPage / 4) << level;
      Bytes back(kPage);
      uLongf size = kPage;
      EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(back.data()), &size,
                           reinterpret_cast<const Bytef*>(made->data()), made->size()),
                Z_OK)
          << level;
      EXPECT_EQ(back, page) << level;
      Bytes ours(kPage);
      const auto read = inflater.inflate(*made, ours);
      EXPECT_TRUE(read) << read.error().message();
      EXPECT_EQ(ours, page);
      EXPECT_TRUE((*deflater)->deflate(random_page())->empty()) << "not shorter, level " << level;
    }
  }
  EXPECT_TRUE((*make_page_deflater(0))->deflate(text_page())->empty());
}

TEST(ZlibPage, what_zlib_makes_is_read_at_every_level_stored_pages_too) {
  PageInflater inflater;
  for (int level = 0; level <= 9; ++level) {
    for (const Bytes& page : {text_page(), random_page(), Bytes(kPage)}) {
      Bytes back(kPage, std::byte{1});
      const auto read = inflater.inflate(zlib_of(page, level), back);
      EXPECT_TRUE(read) << level << (read ? "" : read.error().message());
      EXPECT_EQ(back, page);
    }
  }
}

TEST(ZlibPage, what_is_not_one_complete_stream_of_one_page_is_refused) {
  const Bytes good = zlib_of(text_page(), 6);
  EXPECT_EQ(fault(good), "");
  EXPECT_NE(fault({}), "");
  for (size_t n = 0; n < good.size(); n += 3) {
    EXPECT_NE(fault(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(n))), "") << n;
  }
  for (const size_t more : {1u, 2u, 7u, 8u, 9u, 100u}) {
    Bytes longer = good;
    longer.resize(good.size() + more);
    EXPECT_NE(fault(longer).find("left over"), std::string::npos) << more << fault(longer);
  }
  EXPECT_NE(fault(Bytes(64, std::byte{0xff})).find("no zlib header"), std::string::npos);
  Bytes damaged = good;
  damaged.back() ^= std::byte{1};
  EXPECT_NE(fault(damaged).find("its checksum is wrong"), std::string::npos) << fault(damaged);
  Bytes page = text_page();
  EXPECT_NE(fault(zlib_of(Bytes(page.begin(), page.end() - 1), 6)).find("4095 bytes, not a page"),
            std::string::npos);
  for (const size_t more : {1u, 64u, 65u, 100000u}) {
    page.resize(kPage + more);
    EXPECT_NE(fault(zlib_of(page, 6)).find("more than a page"), std::string::npos) << more;
  }
  Bytes wrong_sum = good;
  wrong_sum.back() ^= std::byte{1};
  EXPECT_NE(fault(wrong_sum), "");
  Bytes no_zlib = good;
  no_zlib[0] = std::byte{0x79};
  EXPECT_NE(fault(no_zlib), "");
}

TEST(ZlibPage, a_broken_stream_does_not_spoil_the_next) {
  PageInflater inflater;
  Bytes page(kPage);
  EXPECT_FALSE(inflater.inflate(Bytes(100, std::byte{0x78}), page));
  EXPECT_TRUE(inflater.inflate(zlib_of(text_page(), 6), page));
  EXPECT_EQ(page, text_page());
}

}  // namespace
}  // namespace tern
