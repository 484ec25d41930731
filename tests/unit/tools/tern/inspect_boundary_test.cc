// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_boundary.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

struct Taken {
  explicit Taken(const std::vector<std::byte>& bytes, uint64_t end = UINT64_MAX,
                 uint64_t max = 1u << 20) {
    MemoryInput input(bytes);
    StreamReader in(input);
    const auto n = take_to_footer(in, 5, end, &body, max);
    ok = n.has_value();
    EXPECT_EQ(n ? *n : body.size(), body.size());
    if (!n) message = n.error().message();
  }
  bool ok = false;
  std::vector<std::byte> body;
  std::string message;
};

TEST(Boundary, a_footer_followed_by_an_item_ends_the_section) {
  for (const auto& next :
       {bytes_of({2, 0, 0, 0, 1}), bytes_of({4, 0, 0, 0, 9, 3, 'c', 'p', 'u'}),
        bytes_of({8, 0, 5, 0, 0}), bytes_of({0, 6, 0, 0}), bytes_of({0}), bytes_of({})}) {
    const Taken t(StreamMaker().fill(77, 1).footer(5).raw(next).take());
    EXPECT_TRUE(t.ok) << t.message;
    EXPECT_EQ(t.body.size(), 77u);
  }
}

TEST(Boundary, a_footer_followed_by_nonsense_is_part_of_the_state) {
  const Taken t(StreamMaker().footer(5).u8(0x44).footer(6).u8(2).footer(5).raw({0, 6, 0}).take());
  EXPECT_TRUE(t.ok);
  EXPECT_EQ(t.body.size(), 5u + 1 + 5 + 1);
}

TEST(Boundary, a_footer_across_windows_is_found) {
  for (size_t before = 65530; before < 65540; ++before) {
    const Taken t(StreamMaker().fill(before, 0x7e).footer(5).take());
    EXPECT_TRUE(t.ok);
    EXPECT_EQ(t.body.size(), before);
  }
}

TEST(Boundary, the_end_of_the_package_ends_the_search) {
  const auto bytes = StreamMaker().fill(10, 1).footer(5).fill(100, 9).take();
  const Taken inside(bytes, 15);
  EXPECT_TRUE(inside.ok);
  const Taken outside(bytes, 14);
  EXPECT_FALSE(outside.ok);
  EXPECT_NE(outside.message.find("without a footer"), std::string::npos);
}

TEST(Boundary, no_footer_is_the_end_of_the_stream_and_too_much_is_too_much) {
  const Taken none(StreamMaker().fill(100, 1).take());
  EXPECT_FALSE(none.ok);
  EXPECT_NE(none.message.find("end of stream at offset 100"), std::string::npos) << none.message;
  const Taken large(StreamMaker().fill(200000, 1).footer(5).take(), UINT64_MAX, 1000);
  EXPECT_FALSE(large.ok);
  EXPECT_NE(large.message.find("no footer in 1000 bytes"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
