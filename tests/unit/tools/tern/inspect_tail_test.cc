// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_tail.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

struct Collected {
  explicit Collected(const std::vector<std::byte>& bytes, uint64_t limit = 1u << 20) {
    MemoryInput input(bytes);
    StreamReader in(input);
    collected = tail.collect(in, limit).has_value();
    tail.find_description(true);
  }
  InspectTail tail;
  bool collected = false;
};

DeviceWriter body_of(uint32_t value) {
  DeviceWriter w;
  w.put_u32("x", value);
  return w;
}

TEST(InspectTail, finds_the_description_that_fits) {
  Collected c(StreamMaker().device(1, {"a", 0, 1}, body_of(1)).end().take());
  ASSERT_TRUE(c.tail.lengths());
  EXPECT_EQ(c.tail.lengths()->at({"a", 0}), 4u);
  EXPECT_NE(c.tail.description().find("a", 0), nullptr);
}

TEST(InspectTail, whatever_follows_the_description_does_not_hide_it) {
  StreamMaker m;
  m.device(1, {"a", 0, 1}, body_of(1)).end().command(Command::tern_go).fill(70000, 0);
  Collected c(m.take());
  EXPECT_TRUE(c.tail.lengths());
}

TEST(InspectTail, a_false_description_inside_device_state_is_passed_over) {
  DeviceWriter decoy;
  decoy.put_buffer("x",
                   StreamMaker().end_with(R"({"devices": [{"name": "z", "fields": []}]})").take());
  Collected c(StreamMaker().device(1, {"a", 0, 1}, decoy).end().take());
  ASSERT_TRUE(c.tail.lengths());
  EXPECT_TRUE(c.tail.lengths()->contains({"a", 0}));
}

TEST(InspectTail, one_that_does_not_fit_is_better_than_none) {
  StreamMaker m;
  m.begin(kItemSectionFull, {1, "a", 0, 1}).raw({1, 2, 3}).footer(1);
  m.end_with(R"({"devices": [{"name": "a", "fields": [{"name": "x", "size": 2}]}]})");
  Collected c(m.take());
  ASSERT_TRUE(c.tail.lengths());
  EXPECT_EQ(c.tail.lengths()->at({"a", 0}), 2u);
}

TEST(InspectTail, without_one_there_is_none) {
  EXPECT_FALSE(Collected(StreamMaker().u8(0).take()).tail.lengths());
  EXPECT_FALSE(Collected({}).tail.lengths());
  EXPECT_FALSE(Collected(StreamMaker().end_with("{}").take()).tail.lengths());
  EXPECT_FALSE(Collected(bytes_of({0, 6, 0, 0, 0, 9, '{'})).tail.lengths());
}

TEST(InspectTail, more_than_the_limit_is_refused) {
  EXPECT_TRUE(Collected(std::vector<std::byte>(1000), 1000).collected);
  EXPECT_FALSE(Collected(std::vector<std::byte>(1001), 1000).collected);
}

}  // namespace
}  // namespace tern::tool
