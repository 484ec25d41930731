// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/schema.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "migration/qmp/command_table.h"
#include "migration/qmp/event_table.h"
#include "migration/qmp/result_types.h"

namespace tern::qmp {
namespace {

class SchemaTest : public ::testing::Test {
 protected:
  SchemaTest() {
    for (const Json& entity : schema_) {
      EXPECT_TRUE(entities_.emplace(entity["name"], entity).second) << entity["name"];
    }
  }
  const Json& member(const Json& object, const std::string& name) {
    for (const Json& m : object["members"]) {
      if (m["name"] == name) return m;
    }
    ADD_FAILURE() << "no member " << name;
    return object;
  }

  const Json schema_ = schema_json();
  std::map<std::string, Json> entities_;
};

TEST_F(SchemaTest, is_what_its_own_type_says) {
  const Result<void> typed = check_value(schema_, types::kSchemaInfoList);
  EXPECT_TRUE(typed.has_value()) << typed.error().message();
}

TEST_F(SchemaTest, every_name_that_is_used_is_described) {
  std::set<std::string> used;
  for (const Json& entity : schema_) {
    for (const char* reference : {"arg-type", "ret-type", "element-type"}) {
      if (entity.contains(reference)) used.insert(entity[reference]);
    }
    for (const Json& m : entity.value("members", Json::array())) {
      if (m.contains("type")) used.insert(m["type"]);
    }
    for (const Json& v : entity.value("variants", Json::array())) used.insert(v["type"]);
  }
  for (const std::string& name : used) EXPECT_TRUE(entities_.contains(name)) << name;
  // And nothing is described that nothing uses.
  for (const auto& [name, entity] : entities_) {
    const std::string meta = entity["meta-type"];
    if (meta != "command" && meta != "event") {
      EXPECT_TRUE(used.contains(name)) << name;
    }
  }
}

TEST_F(SchemaTest, has_every_command_and_event_and_no_other) {
  size_t commands = 0;
  size_t events = 0;
  for (const auto& [name, entity] : entities_) {
    if (entity["meta-type"] == "command") {
      ++commands;
      EXPECT_NE(find_command(name), nullptr) << name;
    }
    if (entity["meta-type"] == "event") {
      ++events;
      EXPECT_NE(find_event(name), nullptr) << name;
    }
  }
  EXPECT_EQ(commands, command_table().size());
  EXPECT_EQ(events, event_table().size());
}

TEST_F(SchemaTest, optional_members_deprecation_and_out_of_band_are_marked_as_clients_expect) {
  const Json& migrate = entities_[entities_["migrate"]["arg-type"]];
  const Json& uri = member(migrate, "uri");
  EXPECT_TRUE(uri.contains("default"));
  EXPECT_TRUE(uri["default"].is_null());
  EXPECT_EQ(member(migrate, "detach")["features"], Json::array({"deprecated"}));
  EXPECT_EQ(entities_["yank"]["allow-oob"], true);
  EXPECT_FALSE(entities_["migrate"].contains("allow-oob"));
  const Json& set = entities_[entities_["migrate-set-parameters"]["arg-type"]];
  EXPECT_EQ(member(set, "x-peer-version")["features"], Json::array({"unstable"}));
  EXPECT_EQ(member(set, "compress-level")["features"], Json::array({"deprecated"}));
  const Json& prefix = entities_[member(set, "x-thread-prefix")["type"]];
  EXPECT_EQ(prefix["meta-type"], "alternate");
  EXPECT_EQ(prefix["members"], Json::parse(R"([{"type":"str"},{"type":"null"}])"));
  const Json& query = entities_[entities_["query-migrate-parameters"]["ret-type"]];
  EXPECT_EQ(member(query, "x-thread-prefix")["type"], "str");
}

TEST_F(SchemaTest, a_client_finds_a_capability_by_following_the_types) {
  const Json& set = entities_[entities_["migrate-set-capabilities"]["arg-type"]];
  const std::string list = member(set, "capabilities")["type"];
  const Json& status = entities_[entities_[list]["element-type"]];
  const Json& capability = entities_[member(status, "capability")["type"]];
  EXPECT_EQ(capability["meta-type"], "enum");
  std::set<std::string> words(capability["values"].begin(), capability["values"].end());
  EXPECT_TRUE(words.contains("return-path"));
  EXPECT_FALSE(words.contains("rdma-pin-all")) << "no engine, no word";
  for (const Json& word : capability["members"]) {
    const Json features = word.contains("features") ? word["features"] : Json::array();
    EXPECT_EQ(features, word["name"] == "compress" ? Json::array({"deprecated"}) : Json::array());
  }
}

TEST_F(SchemaTest, a_union_has_a_case_for_every_word_of_its_tag) {
  const Json& instances = entities_[entities_["query-yank"]["ret-type"]];
  const Json& yank = entities_[instances["element-type"]];
  EXPECT_EQ(yank["tag"], "type");
  ASSERT_EQ(yank["variants"].size(), 3u);
  for (const Json& variant : yank["variants"]) {
    if (variant["case"] != "migration") continue;
    EXPECT_EQ(entities_[variant["type"]]["members"], Json::array());
  }
}

}  // namespace
}  // namespace tern::qmp
