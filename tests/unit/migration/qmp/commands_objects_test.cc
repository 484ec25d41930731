// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

class ObjectCommands : public PlaneTest {};

TEST_F(ObjectCommands, an_object_is_added_listed_and_removed) {
  create();
  EXPECT_EQ(desc("object-add", {{"qom-type", "authz-list"},
                                {"id", "l"},
                                {"rules", Json::array({{{"match", "a"}, {"policy", "allow"}}})}}),
            "");
  const Json listed = value("qom-list", {{"path", "/objects"}});
  EXPECT_EQ(listed, Json::array({{{"name", "type"}, {"type", "string"}},
                                 {{"name", "l"}, {"type", "child<authz-list>"}}}));
  EXPECT_EQ(value("qom-list", {{"path", "objects/"}}), listed);
  EXPECT_EQ(value("qom-list", {{"path", "/objects/l"}})[2],
            Json({{"name", "rules"}, {"type", "QAuthZListRule"}}));
  EXPECT_EQ(value("qom-list", {{"path", "/"}}).size(), 2u);
  EXPECT_EQ(desc("object-del", {{"id", "l"}}), "");
  EXPECT_EQ(desc("object-del", {{"id", "l"}}), "object 'l' not found");
  EXPECT_EQ(run("qom-list", {{"path", "/objects/l"}})["error"]["class"], "DeviceNotFound");
}

TEST_F(ObjectCommands, a_machine_that_has_a_store_shares_it) {
  ObjectStore store;
  ASSERT_TRUE(store.add("secret", "mine", {{"data", "x"}}));
  machine_.objects = &store;
  create();
  EXPECT_EQ(value("qom-list", {{"path", "/objects"}}).size(), 2u);
  EXPECT_EQ(desc("object-add", {{"qom-type", "secret"}, {"id", "s"}, {"data", "x"}}), "");
  EXPECT_EQ(store.list().size(), 2u);
}

TEST_F(ObjectCommands, booleans_reach_the_object) {
  create();
  EXPECT_NE(
      desc(
          "object-add",
          {{"qom-type", "authz-list-file"}, {"id", "f"}, {"filename", "/none"}, {"refresh", false}})
          .find("/none"),
      std::string::npos);
  EXPECT_EQ(desc("object-add", {{"qom-type", "tls-creds-x509"}, {"id", "t"}}),
            "Missing 'dir' property value");
}

}  // namespace
}  // namespace tern::qmp
