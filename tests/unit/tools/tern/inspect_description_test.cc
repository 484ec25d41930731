// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"
#include "tools/tern/inspect_fields.h"

namespace tern::tool {
namespace {

using namespace test;

TEST(Description, the_tree_of_a_device_is_read_whatever_the_order_of_its_keys) {
  const auto d = parse_description(
      R"({"devices": [{"fields": [{"struct": {"fields": [{"size": 3, "name": "x"}],
      "version": 7, "vmsd_name": "s"}, "size": 3, "type": "struct", "array_len": 0, "name": "f"}],
      "version": 2, "vmsd_name": "v", "instance_id": 9, "name": "d"}],
      "page_size": 4096, "configuration": {"fields": []}})");
  ASSERT_TRUE(d) << d.error().message();
  EXPECT_EQ(d->page_size, 4096u);
  EXPECT_TRUE(d->has_configuration);
  const DescribedDevice* device = d->find("d", 9);
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->layout.name, "v");
  EXPECT_EQ(device->layout.version, 2u);
  const DescribedField& f = device->layout.fields.at(0);
  EXPECT_EQ(f.name, "f");
  EXPECT_EQ(f.array_len, 1u);
  ASSERT_TRUE(f.layout);
  EXPECT_EQ(f.layout->name, "s");
  EXPECT_EQ(f.layout->version, 7u);
  EXPECT_EQ(f.layout->fields.at(0).size, 3u);
  EXPECT_EQ(d->find("d", 8), nullptr);
}

TEST(Description, of_two_devices_of_one_name_the_last_counts) {
  const auto d = parse_description(
      R"({"devices": [{"name": "d", "version": 1}, {"name": "d", "version": 2}]})");
  ASSERT_TRUE(d);
  EXPECT_EQ(d->find("d", 0)->layout.version, 2u);
}

TEST(Description, hostile_texts_are_refused) {
  for (const char* text :
       {"", "[]", "1", "null", "{}", "{\"devices\": 1}", "{\"devices\": [", "{\"devices\": []}{"}) {
    const auto d = parse_description(text);
    ASSERT_FALSE(d) << text;
    EXPECT_EQ(d.error().code(), ErrorCode::peer_protocol);
  }
  EXPECT_FALSE(parse_description("{\"devices\": " + std::string(1000, '[')));
}

TEST(Description, more_entries_than_any_machine_has_are_refused) {
  std::string text = "{\"devices\": [{\"name\": \"d\", \"fields\": [{}";
  for (int i = 0; i < 300000; ++i) text += ",{}";
  const auto d = parse_description(text + "]}]}");
  ASSERT_FALSE(d);
  EXPECT_NE(d.error().message().find("too many entries"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
