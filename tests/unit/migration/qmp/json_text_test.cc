// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/json_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace tern::qmp {
namespace {

std::string fault(std::string_view text) {
  const Result<Json> parsed = parse_json(text);
  return parsed.has_value() ? "" : parsed.error().message();
}

TEST(JsonText, values_of_every_kind_come_back_as_they_went) {
  for (const char* text :
       {R"({"a":1,"b":[true,false,null,-5,1.5,"x"],"c":{}})", "[]", "\"s\"", "18446744073709551615",
        "-9223372036854775808", R"([{"a":[{"b":[]}]}])"}) {
    const Result<Json> parsed = parse_json(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(to_text(*parsed), text);
  }
}

TEST(JsonText, integers_of_64_bits_are_exact_and_larger_ones_become_floating_point) {
  EXPECT_EQ(parse_json("18446744073709551615")->get<uint64_t>(),
            std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(parse_json("18446744073709551616")->is_number_float());
  EXPECT_EQ(to_text(*parse_json("1.50")), "1.5");
}

TEST(JsonText, a_key_given_twice_is_refused_at_any_depth) {
  EXPECT_EQ(fault(R"({"a":1,"a":2})"), "JSON parse error, duplicate key");
  EXPECT_EQ(fault(R"({"x":[{"a":1,"b":2,"a":3}]})"), "JSON parse error, duplicate key");
  EXPECT_EQ(fault(R"({"a":{"a":1}})"), "");
}

TEST(JsonText, what_is_not_json_is_refused) {
  for (const char* text : {"",          " ",          "{",         "}",
                           "[1,]",      "{\"a\":1,}", "01",        "1.",
                           ".5",        "+1",         "NaN",       "Infinity",
                           "nul",       "{a:1}",      "{'a':1}",   "[1 2]",
                           "{\"a\" 1}", "// c\n1",    "/* c */1",  "1 2",
                           "\"\t\"",    "\"\\x\"",    "\"\\u12\"", "\"\\u12g4\"",
                           "1e400",     "\"abc",      "tru",       "{\"a\":1 \"b\":2}",
                           "[\"a\"}"}) {
    EXPECT_EQ(fault(text).rfind("JSON parse error", 0), 0u) << text;
  }
}

TEST(JsonText, invalid_utf8_is_refused) {
  for (const char* text :
       {"\"\x80\"", "\"\xC0\x80\"", "\"\xC1\xBF\"", "\"\xE0\x80\x80\"", "\"\xF0\x80\x80\x80\"",
        "\"\xED\xA0\x80\"", "\"\xED\xBF\xBF\"", "\"\xF4\x90\x80\x80\"", "\"\xF5\x80\x80\x80\"",
        "\"\xC3\"", "\"\xFF\"", "\xEF\xBB\xBF{}"}) {
    EXPECT_NE(fault(text), "") << text;
  }
}

TEST(JsonText, unpaired_surrogates_are_refused) {
  for (const char* text :
       {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\u0041")", R"("\ud800\ud800")"}) {
    EXPECT_NE(fault(text), "") << text;
  }
  EXPECT_EQ(parse_json(R"("\ud83d\ude00")")->get<std::string>(), "\xF0\x9F\x98\x80");
}

TEST(JsonText, output_is_ascii_with_surrogate_pairs) {
  EXPECT_EQ(to_text("\xC3\xA9\xF0\x9F\x98\x80\x7F"), "\"\\u00e9\\ud83d\\ude00\\u007f\"");
  EXPECT_EQ(to_text("a\nb\"\\"), R"("a\nb\"\\")");
  EXPECT_EQ(to_text(std::string("\0", 1)), R"("\u0000")");
}

TEST(JsonText, bytes_that_are_not_utf8_can_be_written) {
  EXPECT_EQ(to_text(std::string("a\xFF")), "\"a\\ufffd\"");
}

TEST(JsonText, nesting_is_limited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(fault(nested(kMaxNesting)), "");
  EXPECT_EQ(fault(nested(kMaxNesting + 1)), "JSON nesting depth limit exceeded");
}

TEST(JsonText, the_number_of_values_is_limited) {
  std::string many = "[";
  for (size_t i = 0; i < kMaxTokens; ++i) many += "1,";
  many += "1]";
  EXPECT_EQ(fault(many), "JSON token count limit exceeded");
}

TEST(JsonText, an_error_shows_only_the_beginning_of_a_long_token) {
  const std::string text = "[\"" + std::string(100000, 'x');
  EXPECT_LT(fault(text).size(), 200u);
}

}  // namespace
}  // namespace tern::qmp
