// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_ram_files.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using test::inspect_bytes;
using test::Inspected;
using test::StreamMaker;

constexpr uint64_t kPage = 4096;

class RamFilesTest : public ::testing::Test {
 protected:
  RamFilesTest() {
    std::string name = ::testing::TempDir() + "tern-ram-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~RamFilesTest() override { std::filesystem::remove_all(directory_); }

  std::string reason(std::vector<std::byte> stream) {
    InspectOptions options;
    options.ram_directory = directory_ + "/ram";
    const Inspected seen = inspect_bytes(std::move(stream), options);
    return seen.failure ? seen.failure->reason : "";
  }
  std::vector<std::byte> file(const std::string& name) {
    return tern::test::read_file(directory_ + "/ram/" + name);
  }
  static StreamMaker begun(const std::string& block) {
    StreamMaker m;
    m.opening("none").ram_start(block, 4 * kPage).part(kItemSectionPart, 1);
    return m;
  }
  static std::vector<std::byte> packed(unsigned value) {
    const std::vector<std::byte> page(kPage, static_cast<std::byte>(value));
    std::vector<std::byte> out(compressBound(kPage));
    uLongf size = out.size();
    EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                        reinterpret_cast<const Bytef*>(page.data()), kPage, 1),
              Z_OK);
    out.resize(size);
    return out;
  }

  std::string directory_;
};

TEST_F(RamFilesTest, a_block_becomes_what_its_records_add_up_to) {
  StreamMaker m = begun("pc.ram");
  const auto zlib = packed(5);
  m.page("pc.ram", 0, 7).page("", kPage, 8).zero("", kPage);
  m.be64(0x60).u8(1).be16(5).raw({0x64, 3, 1, 2, 3});
  m.be64(2 * kPage | 0x120).be32(static_cast<uint32_t>(zlib.size())).raw(zlib);
  m.eos().footer(1).ram_end().end();
  EXPECT_EQ(reason(m.take()), "");
  std::vector<std::byte> expected(4 * kPage);
  std::fill_n(expected.begin(), kPage, std::byte{7});
  for (unsigned i = 0; i < 3; ++i) expected[100 + i] = static_cast<std::byte>(i + 1);
  std::fill_n(expected.begin() + 2 * kPage, kPage, std::byte{5});
  EXPECT_EQ(file("pc.ram"), expected);
}

TEST_F(RamFilesTest, the_name_of_a_block_leads_nowhere_else_and_overwrites_nothing) {
  StreamMaker m = begun("../../etc/x");
  m.page("../../etc/x", 0, 7).eos().footer(1).ram_end().end();
  const auto stream = m.take();
  EXPECT_EQ(reason(stream), "");
  EXPECT_EQ(file("_._.._etc_x").size(), 4 * kPage);
  EXPECT_NE(reason(stream).find("File exists"), std::string::npos) << reason(stream);
}

TEST_F(RamFilesTest, what_cannot_be_unpacked_is_told) {
  StreamMaker m = begun("m");
  auto zlib = packed(5);
  zlib.back() ^= std::byte{1};
  m.page("m", 0, 7);
  m.be64(0x120).be32(static_cast<uint32_t>(zlib.size())).raw(zlib);
  EXPECT_NE(reason(m.take()).find("compressed page: "), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
