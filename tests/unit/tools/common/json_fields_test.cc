// SPDX-License-Identifier: Apache-2.0
#include "tools/common/json_fields.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

TEST(JsonFields, a_field_of_another_type_is_a_missing_field) {
  const Json object = {{"text", "x"}, {"number", 2.5}, {"flag", true}, {"inner", {{"a", 1}}}};
  EXPECT_EQ(text_field(object, "text"), "x");
  EXPECT_EQ(text_field(object, "number", "other"), "other");
  EXPECT_EQ(text_field(object, "none"), "");
  EXPECT_EQ(number_field(object, "number"), 2.5);
  EXPECT_FALSE(number_field(object, "text").has_value());
  EXPECT_EQ(number_or_0(object, "flag"), 0);
  EXPECT_TRUE(flag_field(object, "flag"));
  EXPECT_FALSE(flag_field(object, "number"));
  EXPECT_EQ(field(object, "inner")["a"], 1);
}

TEST(JsonFields, what_is_no_object_has_no_fields) {
  EXPECT_TRUE(field(Json::array({1}), "a").is_null());
  EXPECT_TRUE(field(Json(nullptr), "a").is_null());
  EXPECT_EQ(text_field(Json("text"), "a", "-"), "-");
}

TEST(JsonFields, bytes_that_are_no_text_are_replaced_and_not_thrown_at_us) {
  EXPECT_EQ(json_line(Json("a\xff")), "\"a\xEF\xBF\xBD\"");
  EXPECT_EQ(json_indented(Json{{"a", 1}}), "{\n  \"a\": 1\n}");
}

TEST(JsonFields, what_a_terminal_would_obey_is_escaped) {
  EXPECT_EQ(printable("a\033[2Jb\n"), "a\\x1b[2Jb\\x0a");
  EXPECT_EQ(printable("one\r\ntwo\tx\r", true), "one\ntwo\tx\\x0d");
  EXPECT_EQ(printable("\x7f\xC2\x9B"), "\\x7f\\x9b");
  EXPECT_EQ(printable("größe"), "größe");
}

}  // namespace
}  // namespace tern::tool
