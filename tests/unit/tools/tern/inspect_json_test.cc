// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

std::string written(const std::function<void(InspectOutput&)>& calls) {
  std::string text;
  const auto output = make_json_output([&](std::string_view part) { text += part; });
  calls(*output);
  return text;
}

TEST(JsonOutput, is_one_document_with_items_records_and_summary) {
  const Json j = Json::parse(written([](InspectOutput& out) {
    out.begin("f");
    out.open(1, "a", {{"x", 1}});
    out.record(2, {{"r", 1}});
    out.record(3, {{"r", 2}});
    out.close({{"y", 2}});
    out.open(4, "b", Json::object());
    out.item(5, "inner", {{"z", 3}});
    out.item(6, "inner", Json::object());
    out.close(Json::object());
    out.end({{"n", 2}}, std::nullopt);
  }));
  EXPECT_EQ(j["format"], "f");
  EXPECT_EQ(j["items"][0]["records"][1]["r"], 2);
  EXPECT_EQ(j["items"][0]["y"], 2);
  EXPECT_EQ(j["items"][1]["items"][1]["offset"], 6);
  EXPECT_EQ(j["summary"]["n"], 2);
  EXPECT_FALSE(j.contains("error"));
}

TEST(JsonOutput, a_failure_closes_whatever_is_open) {
  const Json j = Json::parse(written([](InspectOutput& out) {
    out.begin("f");
    out.open(1, "a", Json::object());
    out.open(2, "b", Json::object());
    out.record(3, {{"r", 1}});
    out.end(Json::object(), Failure{4, "why \"so\""});
  }));
  EXPECT_EQ(j["error"]["offset"], 4);
  EXPECT_EQ(j["error"]["reason"], "why \"so\"");
  EXPECT_EQ(j["items"][0]["items"][0]["records"][0]["offset"], 3);
}

TEST(JsonOutput, nothing_at_all_is_a_document_too) {
  const Json j = Json::parse(written([](InspectOutput& out) {
    out.begin("f");
    out.end(Json::object(), std::nullopt);
  }));
  EXPECT_TRUE(j["items"].empty());
}

TEST(JsonOutput, bytes_that_are_no_text_do_not_break_it) {
  const std::string text = json_text(Json(std::string("\xff\x00\x1b[m", 5)));
  EXPECT_TRUE(Json::accept(text));
}

}  // namespace
}  // namespace tern::tool
