// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_scalar.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

TEST(CtlScalar, switches_are_on_off_true_false_and_nothing_else) {
  EXPECT_EQ(parse_switch("on"), true);
  EXPECT_EQ(parse_switch("true"), true);
  EXPECT_EQ(parse_switch("off"), false);
  EXPECT_EQ(parse_switch("false"), false);
  EXPECT_FALSE(parse_switch("1").has_value());
  EXPECT_FALSE(parse_switch("On").has_value());
  EXPECT_FALSE(parse_switch("").has_value());
}

TEST(CtlScalar, integers_take_signs_hex_and_sizes) {
  EXPECT_EQ(parse_integer("300"), Json(300));
  EXPECT_EQ(parse_integer("-5"), Json(-5));
  EXPECT_EQ(parse_integer("18446744073709551615"), Json(UINT64_MAX));
  EXPECT_EQ(parse_integer("0x1F"), Json(31));
  EXPECT_EQ(parse_integer("1G"), Json(1073741824));
  EXPECT_EQ(parse_integer("1.5G"), Json(1610612736));
  EXPECT_EQ(parse_integer("64MiB"), Json(67108864));
  EXPECT_EQ(parse_integer("2kB"), Json(2048));
  EXPECT_EQ(parse_integer("3T"), Json(3298534883328));
  EXPECT_EQ(parse_integer("1P"), Json(1125899906842624));
}

TEST(CtlScalar, what_is_no_whole_number_or_too_large_is_no_integer) {
  for (const char* text :
       {"", "K", "1.5", "fast", "1GG", "-1G", "0x", "0xg", "1 G", "1.0001K", "99999999P", "1e3K2",
        "infK", "nanG", "B", "iB", "18446744073709551616"}) {
    EXPECT_FALSE(parse_integer(text).has_value()) << text;
  }
}

TEST(CtlScalar, numbers_may_have_fractions) {
  EXPECT_EQ(parse_number("0.25"), Json(0.25));
  EXPECT_EQ(parse_number("7"), Json(7));
  EXPECT_FALSE(parse_number("x").has_value());
  EXPECT_FALSE(parse_number("inf").has_value());
}

TEST(CtlScalar, values_are_taken_for_what_they_look_like) {
  EXPECT_EQ(value_by_look("true"), Json(true));
  EXPECT_EQ(value_by_look("12"), Json(12));
  EXPECT_EQ(value_by_look("-12"), Json(-12));
  EXPECT_EQ(value_by_look("[1,2]"), Json::array({1, 2}));
  EXPECT_EQ(value_by_look("{\"a\":1}"), (Json{{"a", 1}}));
  EXPECT_EQ(value_by_look("[half"), Json("[half"));
  EXPECT_EQ(value_by_look("tcp:h:1"), Json("tcp:h:1"));
  EXPECT_EQ(value_by_look("1G"), Json("1G"));
}

TEST(CtlScalar, json_is_bounded_in_depth) {
  EXPECT_TRUE(parse_json(std::string(50, '[') + std::string(50, ']')).has_value());
  EXPECT_FALSE(parse_json(std::string(5000, '[') + std::string(5000, ']')).has_value());
  EXPECT_FALSE(parse_json("{\"a\":").has_value());
}

TEST(CtlScalar, a_slip_is_recognised_and_a_stranger_is_not) {
  const std::vector<std::string> names = {"migrate", "migrate-incoming", "query-migrate", "stop"};
  EXPECT_EQ(nearest("mgirate", names), "migrate");
  EXPECT_EQ(nearest("migrate_incoming", names), "migrate-incoming");
  EXPECT_EQ(nearest("incoming", names), "migrate-incoming");
  EXPECT_FALSE(nearest("balloon", names).has_value());
  EXPECT_FALSE(nearest("", names).has_value());
}

TEST(CtlScalar, advice_names_all_candidates_if_they_are_few) {
  EXPECT_EQ(advice("zst", {"none", "zlib", "zstd"}),
            "; did you mean 'zstd'? Possible: none, zlib, zstd");
  EXPECT_EQ(advice("qqq", {"none"}), "; possible: none");
  EXPECT_EQ(advice("qqq", {}), "");
  EXPECT_EQ(advice("qqq", std::vector<std::string>(100, "name")), "");
}

}  // namespace
}  // namespace tern::tool
