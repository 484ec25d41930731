// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_schema.h"

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

TEST(CtlSchema, commands_and_events_are_found_by_name_and_kind) {
  const Schema schema = test::small_schema();
  ASSERT_NE(schema.command("migrate"), nullptr);
  EXPECT_EQ(schema.command("MIGRATION"), nullptr);
  EXPECT_EQ(schema.event("migrate"), nullptr);
  ASSERT_NE(schema.event("MIGRATION"), nullptr);
  EXPECT_EQ(schema.find("nothing"), nullptr);
  EXPECT_EQ(schema.commands().front(), "blockdev-add");
  EXPECT_EQ(schema.events(), (std::vector<std::string>{"MIGRATION", "STOP"}));
  EXPECT_TRUE(schema.command("migrate-pause")->allow_oob);
}

TEST(CtlSchema, members_are_mandatory_unless_they_have_a_default) {
  const Schema schema = test::small_schema();
  const SchemaEntity* arguments = schema.find(schema.command("migrate")->arguments);
  ASSERT_EQ(arguments->members.size(), 2u);
  EXPECT_FALSE(arguments->members[0].optional);
  EXPECT_TRUE(arguments->members[1].optional);
}

TEST(CtlSchema, words_come_from_members_or_from_the_older_values) {
  const Schema schema = test::small_schema();
  EXPECT_EQ(schema.words("1"), (std::vector<std::string>{"none", "zlib", "zstd"}));
  EXPECT_EQ(schema.words("2"), (std::vector<std::string>{"xbzrle", "events", "return-path"}));
  EXPECT_EQ(schema.words("bool"), (std::vector<std::string>{"on", "off"}));
  EXPECT_TRUE(schema.words("str").empty());
  EXPECT_TRUE(has_feature(schema.find("1")->words[2].features, "unstable"));
}

TEST(CtlSchema, types_are_described_for_people) {
  const Schema schema = test::small_schema();
  EXPECT_EQ(schema.describe("int"), "integer");
  EXPECT_EQ(schema.describe("bool"), "on|off");
  EXPECT_EQ(schema.describe("1"), "none|zlib|zstd");
  EXPECT_EQ(schema.describe("[str]"), "list of string");
  EXPECT_EQ(schema.describe("5"), "string or null");
  EXPECT_EQ(schema.describe("0"), "nothing");
  EXPECT_EQ(schema.describe("9"), "object");
  EXPECT_EQ(schema.describe("gone"), "value");
}

TEST(CtlSchema, what_is_no_schema_is_refused) {
  EXPECT_FALSE(Schema::read(Json::object()).has_value());
  EXPECT_FALSE(Schema::read(Json::array({1})).has_value());
  const auto odd = Schema::read(Json::parse(
      R"([{"name": "a", "meta-type": "object", "members": [1, {"name": 5}], "variants": {}}])"));
  ASSERT_TRUE(odd.has_value());
  EXPECT_EQ(odd->find("a")->members[1].name, "");
}

TEST(CtlSchema, a_type_that_contains_itself_is_described_all_the_same) {
  const auto schema = Schema::read(
      Json::parse(R"([{"name": "[a]", "meta-type": "array", "element-type": "[a]"}])"));
  EXPECT_EQ(schema->describe("[a]"), "list of list of list of list of value");
}

}  // namespace
}  // namespace tern::tool
