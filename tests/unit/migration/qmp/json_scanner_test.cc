// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/json_scanner.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "migration/qmp/json_text.h"

namespace tern::qmp {
namespace {

using Strings = std::vector<std::string>;

// Texts as they are, errors with a "!" before them.
Strings scan(JsonScanner& scanner, std::string_view bytes) {
  Strings out;
  while (auto item = scanner.next(bytes)) out.push_back((item->is_text ? "" : "!") + item->value);
  return out;
}
Strings scan(std::string_view bytes) {
  JsonScanner scanner;
  return scan(scanner, bytes);
}

TEST(JsonScanner, texts_need_no_line_ends_between_them) {
  EXPECT_EQ(scan("{\"a\":1}{\"b\":2} [3]\r\n\"s\"{}"),
            (Strings{"{\"a\":1}", "{\"b\":2}", "[3]", "\"s\"", "{}"}));
}

TEST(JsonScanner, a_text_may_be_split_at_every_byte) {
  const std::string bytes = "{\"a\": [1, \"}\\\"]\", {\"\\\\\": 2}]}\n{\"x\":\n\t3}";
  JsonScanner scanner;
  Strings out;
  for (char c : bytes) {
    for (auto& text : scan(scanner, std::string_view(&c, 1))) out.push_back(text);
  }
  EXPECT_EQ(out, scan(bytes));
  EXPECT_EQ(out.size(), 2u);
  EXPECT_EQ(scanner.kept_bytes(), 0u);
}

TEST(JsonScanner, brackets_and_escaped_quotes_in_strings_do_not_count) {
  EXPECT_EQ(scan(R"({"a":"}]{[\"}"})"), (Strings{R"({"a":"}]{[\"}"})"}));
}

TEST(JsonScanner, a_word_ends_where_something_else_begins) {
  EXPECT_EQ(scan("12 {}"), (Strings{"12", "{}"}));
  EXPECT_EQ(scan("null{}"), (Strings{"null", "{}"}));
  EXPECT_EQ(scan("-{}"), (Strings{"-", "{}"}));
  EXPECT_EQ(scan("tru"), Strings{});
}

TEST(JsonScanner, the_end_of_the_stream_ends_a_word_but_no_structure) {
  JsonScanner word;
  EXPECT_EQ(scan(word, "42"), Strings{});
  const auto last = word.finish();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->value, "42");
  JsonScanner open;
  EXPECT_EQ(scan(open, "{\"a\":"), Strings{});
  EXPECT_FALSE(open.finish().has_value());
}

TEST(JsonScanner, a_reset_byte_gives_one_error_and_a_clean_start) {
  for (const char* reset : {"\xFF", "\x01", "\x1F", "\xF5", "\x1B"}) {
    const std::string r(reset);
    for (const std::string& before :
         {std::string(), std::string("{\"a\":"), std::string("[[["), std::string("{\"a\":\"x")}) {
      const Strings out = scan(before + r + "{\"b\":1}");
      ASSERT_EQ(out.size(), 2u) << before;
      EXPECT_EQ(out[0].rfind("!JSON parse error, stray", 0), 0u);
      EXPECT_EQ(out[1], "{\"b\":1}");
    }
  }
  EXPECT_EQ(scan(std::string("\0{}", 3)), (Strings{"!JSON parse error, stray '\\x00'", "{}"}));
}

TEST(JsonScanner, each_reset_byte_alone_is_answered) {
  EXPECT_EQ(scan("\xFF\xFF"),
            (Strings{"!JSON parse error, stray '\\xff'", "!JSON parse error, stray '\\xff'"}));
}

TEST(JsonScanner, what_is_left_of_a_broken_object_gives_no_second_error) {
  for (const char* broken : {"{\"a\":\x01}", "{\"a\":\"x\xFF\"}", "{\"a\":@}", "}", "]]]", ",,,",
                             "{'a':'b'}", "#", "\xEF\xBB\xBF", "]}"}) {
    const Strings out = scan(std::string(broken) + "{\"b\":1}");
    ASSERT_EQ(out.size(), 2u) << broken;
    EXPECT_EQ(out[0][0], '!');
    EXPECT_EQ(out[1], "{\"b\":1}");
  }
}

TEST(JsonScanner, a_line_end_ends_the_recovery) {
  EXPECT_EQ(scan("@ 12\n13 "), (Strings{"!JSON parse error, stray '@'", "13"}));
}

TEST(JsonScanner, a_line_end_in_a_string_gives_the_text_up) {
  const Strings out = scan("{\"execute\":\"quer\n{\"execute\":\"query-name\"}");
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0], "!JSON parse error, stray '\\x0a'");
  EXPECT_EQ(out[1], "{\"execute\":\"query-name\"}");
}

TEST(JsonScanner, a_tab_in_a_string_is_left_to_the_parser) {
  const Strings out = scan("{\"a\":\"\t\"}{}");
  ASSERT_EQ(out.size(), 2u);
  EXPECT_FALSE(parse_json(out[0]).has_value());
}

TEST(JsonScanner, nesting_beyond_the_limit_is_one_error_and_is_swallowed_to_its_end) {
  const std::string deep(kMaxNesting + 500, '[');
  JsonScanner scanner;
  EXPECT_EQ(scan(scanner, deep), (Strings{"!JSON nesting depth limit exceeded"}));
  EXPECT_EQ(scanner.kept_bytes(), 0u);
  const Strings after = scan(scanner, std::string(kMaxNesting + 500, ']') + "{\"a\":1}");
  EXPECT_EQ(after, (Strings{"{\"a\":1}"}));
}

TEST(JsonScanner, a_reset_byte_ends_the_swallowing) {
  JsonScanner scanner;
  (void)scan(scanner, std::string(kMaxNesting + 1, '['));
  EXPECT_EQ(scan(scanner, "\"\xFF{}"), (Strings{"!JSON parse error, stray '\\xff'", "{}"}));
}

TEST(JsonScanner, the_deepest_allowed_nesting_is_a_text) {
  const std::string text = std::string(kMaxNesting, '[') + std::string(kMaxNesting, ']');
  EXPECT_EQ(scan(text), (Strings{text}));
}

TEST(JsonScanner, a_text_beyond_the_limit_is_one_error_and_its_memory_is_given_back) {
  JsonScanner scanner;
  Strings out = scan(scanner, "{\"a\":\"");
  const std::string chunk(1u << 20, 'x');
  for (size_t sent = 0; sent <= kMaxTextBytes + chunk.size(); sent += chunk.size()) {
    for (auto& item : scan(scanner, chunk)) out.push_back(item);
    EXPECT_LE(scanner.kept_bytes(), kMaxTextBytes + chunk.size());
  }
  EXPECT_EQ(out, (Strings{"!JSON token size limit exceeded"}));
  EXPECT_EQ(scanner.kept_bytes(), 0u);
  EXPECT_EQ(scan(scanner, "\"}{\"b\":1}"), (Strings{"{\"b\":1}"}));
}

TEST(JsonScanner, a_word_without_end_is_an_error) {
  const Strings out = scan(std::string(100000, '1') + "\n{}");
  EXPECT_EQ(out, (Strings{"!JSON parse error, word too long", "{}"}));
}

// Whatever the bytes and however they are cut, the scanner says the same, keeps within its limit
// and is ready again after a reset byte.
TEST(JsonScanner, random_bytes_are_cut_the_same_however_they_arrive) {
  std::mt19937 random(20240601);
  const std::string alphabet = "{}[]\",:\\ \n\t'@019aeltrunfs-\x01\x80\xC3\xA9\xF5\xFF";
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    const size_t length = random() % 60;
    for (size_t i = 0; i < length; ++i) {
      bytes +=
          round % 4 == 0 ? static_cast<char>(random() % 256) : alphabet[random() % alphabet.size()];
    }
    JsonScanner whole;
    JsonScanner cut;
    const Strings expected = scan(whole, bytes);
    Strings got;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = std::min<size_t>(1 + random() % 7, bytes.size() - at);
      for (auto& item : scan(cut, std::string_view(bytes).substr(at, n))) got.push_back(item);
      at += n;
    }
    ASSERT_EQ(got, expected) << "round " << round;
    for (const std::string& item : got) {
      if (item[0] != '!') (void)parse_json(item).has_value();
    }
    const Strings after = scan(cut, "\xFF{\"ok\":1}");
    ASSERT_FALSE(after.empty());
    ASSERT_EQ(after.back(), "{\"ok\":1}") << "round " << round;
  }
}

}  // namespace
}  // namespace tern::qmp
