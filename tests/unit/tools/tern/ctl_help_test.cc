// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_help.h"

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

class CtlHelp : public testing::Test {
 protected:
  Schema schema_ = test::small_schema();
  Catalog catalog_{&schema_, schema_.commands()};
};

TEST_F(CtlHelp, the_list_has_a_line_for_each_command_with_its_arguments) {
  const std::string text = help_commands(catalog_);
  EXPECT_NE(text.find("migrate uri [detach]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("query-migrate\n"), std::string::npos);
  const Json list = help_commands_json(catalog_);
  EXPECT_EQ(list.size(), schema_.commands().size());
  EXPECT_EQ(list[0]["name"], "blockdev-add");
}

TEST_F(CtlHelp, a_command_is_described_argument_by_argument) {
  EXPECT_EQ(*help_about(catalog_, "migrate", {}),
            "migrate\n  uri=     string\n  detach=  on|off  (optional)\n  returns nothing\n");
  EXPECT_EQ(*help_about(catalog_, "migrate-pause", {}),
            "migrate-pause\n  takes no arguments\n  returns nothing\n"
            "  can be executed out of band (--oob)\n");
  const std::string text = *help_about(catalog_, "migrate-set-parameters", {});
  EXPECT_NE(text.find("none|zlib|zstd  (optional)\n"), std::string::npos) << text;
  EXPECT_NE(text.find("on|off  (optional)  (deprecated)\n"), std::string::npos) << text;
}

TEST_F(CtlHelp, capabilities_are_listed_by_name) {
  const std::string text = *help_about(catalog_, "migrate-set-capabilities", {});
  EXPECT_NE(text.find("NAME=on|off"), std::string::npos);
  EXPECT_NE(text.find("    return-path\n"), std::string::npos);
  EXPECT_EQ((*help_about_json(catalog_, "migrate-set-capabilities", {}))["capabilities"].size(),
            3u);
}

TEST_F(CtlHelp, a_tag_opens_what_depends_on_it) {
  EXPECT_NE(help_about(catalog_, "blockdev-add", {})->find("help blockdev-add … driver=WORD"),
            std::string::npos);
  const std::string text = *help_about(catalog_, "blockdev-add", {"driver=file"});
  EXPECT_NE(text.find("filename="), std::string::npos) << text;
  EXPECT_NE(text.find("cache.direct="), std::string::npos) << text;
}

TEST_F(CtlHelp, events_are_described_too) {
  const std::string text = *help_about(catalog_, "MIGRATION", {});
  EXPECT_NE(text.find("MIGRATION  (event)"), std::string::npos);
  EXPECT_NE(text.find("status="), std::string::npos);
  EXPECT_NE(help_about(catalog_, "STOP", {})->find("no data"), std::string::npos);
  EXPECT_EQ((*help_about_json(catalog_, "MIGRATION", {}))["data"][0]["name"], "status");
}

TEST_F(CtlHelp, json_says_types_words_and_what_is_mandatory) {
  const Json about = *help_about_json(catalog_, "migrate-set-parameters", {});
  const Json& compression = about["arguments"][3];
  EXPECT_EQ(compression["name"], "multifd-compression");
  EXPECT_EQ(compression["words"], Json({"none", "zlib", "zstd"}));
  EXPECT_EQ(compression["optional"], true);
  EXPECT_EQ(about["returns"], "nothing");
}

TEST_F(CtlHelp, the_parts_of_an_optional_object_are_optional) {
  for (const HelpArgument& a : help_arguments(schema_, "9", {"driver=file"})) {
    EXPECT_EQ(a.optional, a.name.starts_with("cache.")) << a.name;
  }
}

TEST_F(CtlHelp, an_unknown_name_is_refused_with_the_nearest) {
  const auto text = help_about(catalog_, "migrat", {});
  ASSERT_FALSE(text.has_value());
  EXPECT_NE(text.error().message().find("did you mean 'migrate'"), std::string::npos);
  EXPECT_FALSE(help_about_json(catalog_, "migrat", {}).has_value());
}

TEST_F(CtlHelp, without_a_schema_there_are_names_and_nothing_is_made_up) {
  const Catalog names{nullptr, {"migrate", "stop"}};
  EXPECT_EQ(help_commands(names), "migrate\nstop\n");
  EXPECT_NE(help_about(names, "stop", {})->find("does not say"), std::string::npos);
  EXPECT_EQ(*help_about_json(names, "stop", {}), (Json{{"name", "stop"}}));
}

TEST_F(CtlHelp, a_type_that_contains_itself_ends_somewhere) {
  const auto arguments = help_arguments(schema_, "9", {"driver=raw", "file.driver=raw"});
  EXPECT_GT(arguments.size(), 4u);
  EXPECT_LT(arguments.size(), 40u);
}

}  // namespace
}  // namespace tern::tool
