// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/qtest_protocol.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

class QtestProtocol : public testing::Test {
 protected:
  std::string run(std::string_view line) { return qtest_execute(memory_, line); }
  Ram ram_ = small_ram(1 << 20);
  GuestMemory memory_{ram_.blocks()};
};

TEST_F(QtestProtocol, bytes_are_written_and_read_as_hex) {
  EXPECT_EQ(run("write 0x1000 4 0xdeadBEEF"), "OK");
  EXPECT_EQ(run("read 4096 0x4"), "OK 0xdeadbeef");
  EXPECT_EQ(run("read 0x1001 1"), "OK 0xad");
  EXPECT_EQ(run("write 0x1000 0 0x"), "OK");
  EXPECT_EQ(run("read 0x1000 0"), "OK 0x");
}

TEST_F(QtestProtocol, words_of_every_width_are_little_endian) {
  EXPECT_EQ(run("writeq 0x2000 0x1122334455667788"), "OK");
  EXPECT_EQ(run("readb 0x2000"), "OK 0x0000000000000088");
  EXPECT_EQ(run("readw 0x2000"), "OK 0x0000000000007788");
  EXPECT_EQ(run("readl 0x2000"), "OK 0x0000000055667788");
  EXPECT_EQ(run("readq 0x2000"), "OK 0x1122334455667788");
  EXPECT_EQ(run("writeb 0x2000 0xfff"), "OK");
  EXPECT_EQ(run("writew 0x2002 4660"), "OK");
  EXPECT_EQ(run("writel 0x2004 0xcafe1234"), "OK");
  EXPECT_EQ(run("readq 0x2000"), "OK 0xcafe1234123477ff");
  EXPECT_EQ(run("writel 0x2ffe 0x01020304"), "OK");  // across a page, not aligned
  EXPECT_EQ(run("readl 0x2ffe"), "OK 0x0000000001020304");
  EXPECT_EQ(run("endianness"), "OK little");
}

TEST_F(QtestProtocol, base64_of_every_length_comes_back) {
  const std::pair<const char*, const char*> cases[] = {
      {"0", ""}, {"1", "YQ=="}, {"2", "YWI="}, {"3", "YWJj"}, {"4", "YWJjZA=="}, {"5", "+/+/+/8="},
  };
  for (const auto& [length, data] : cases) {
    if (*data == 0) continue;
    EXPECT_EQ(run("b64write 0x3000 " + std::string(length) + " " + data), "OK") << data;
    EXPECT_EQ(run("b64read 0x3000 " + std::string(length)), "OK " + std::string(data));
  }
  EXPECT_EQ(run("b64read 0x3000 0"), "OK ");
}

TEST_F(QtestProtocol, memset_fills_exactly) {
  EXPECT_EQ(run("memset 0x4001 8190 0xab"), "OK");
  EXPECT_EQ(run("readw 0x4000"), "OK 0x000000000000ab00");
  EXPECT_EQ(run("readw 0x5ffe"), "OK 0x00000000000000ab");
  EXPECT_EQ(run("memset 0x4000 0 1"), "OK");
}

TEST_F(QtestProtocol, what_cannot_be_done_fails_with_a_reason) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "FAIL Unknown command ''"},
      {"clock_step", "FAIL Unknown command 'clock_step'"},
      {"read 0x1000", "FAIL read takes 2 arguments"},
      {"read 0x1000 1 2", "FAIL read takes 2 arguments"},
      {"read x 1", "FAIL address 'x' is not a number"},
      {"read 0x 1", "FAIL address '0x' is not a number"},
      {"read -1 1", "FAIL address '-1' is not a number"},
      {"readb 0x10000000000000000", "FAIL address '0x10000000000000000' is not a number"},
      {"read 0 16777217", "FAIL length 16777217 is above 16777216"},
      {"readb 0x100000", "FAIL address 0x100000 is not RAM"},
      {"readq 0xffffc", "FAIL address 0x100000 is not RAM"},
      {"readq 0xffffffffffffffff", "FAIL address 0xffffffffffffffff is not RAM"},
      {"memset 0 0xffffffffffffffff 1", "FAIL address 0x100000 is not RAM"},
      {"write 0 2 0x00", "FAIL data has 2 hex digits, 4 belong to the length"},
      {"write 0 1 00", "FAIL data must begin with 0x"},
      {"write 0 1 0x0g", "FAIL data is not hex"},
      {"write 0 1 0x-1", "FAIL data is not hex"},
      {"b64write 0 1 YQ=", "FAIL data is not base64: its length is no multiple of 4"},
      {"b64write 0 1 Y===", "FAIL data is not base64"},
      {"b64write 0 1 YQ==YQ==", "FAIL data is not base64"},
      {"b64write 0 2 YQ=a", "FAIL data is not base64"},
      {"b64write 0 2 YQ==", "FAIL data has 1 bytes, the length says 2"},
  };
  for (const auto& [line, reply] : cases) EXPECT_EQ(run(line), reply) << line;
}

TEST_F(QtestProtocol, spaces_and_carriage_returns_do_not_matter) {
  EXPECT_EQ(run("  readb\t 0x0 \r"), "OK 0x0000000000000000");
}

}  // namespace
}  // namespace tern::vmm
