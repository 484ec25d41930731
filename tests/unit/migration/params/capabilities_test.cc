// SPDX-License-Identifier: Apache-2.0
#include "migration/params/capabilities.h"

#include <gtest/gtest.h>

namespace tern::params {
namespace {

TEST(Capabilities, a_default_constructed_settings_is_the_api_default_of_every_row) {
  const CapabilitySet on = capabilities_of(Settings{});
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    EXPECT_EQ(on.test(i), kCapabilities[i].api_default) << kCapabilities[i].name;
  }
}

TEST(Capabilities, store_and_read_agree_for_each_row) {
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    CapabilitySet wanted;
    wanted.set(i);
    Settings settings;
    store(wanted, settings);
    if (kCapabilities[i].member == nullptr) wanted.reset(i);
    EXPECT_EQ(capabilities_of(settings), wanted) << kCapabilities[i].name;
  }
}

TEST(Capabilities, events_belong_to_the_control_plane_and_not_to_settings) {
  EXPECT_EQ(kCapabilities[capability_index("events")].member, nullptr);
}

TEST(Capabilities, switchover_ack_needs_the_return_path) {
  CapabilitySet on;
  on.set(capability_index("switchover-ack"));
  const Result<void> alone = check(on);
  ASSERT_FALSE(alone.has_value());
  EXPECT_EQ(alone.error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(alone.error().message(),
            "Capability 'switchover-ack' requires capability 'return-path'");
  on.set(capability_index("return-path"));
  EXPECT_TRUE(check(on).has_value());
}

TEST(Capabilities, what_excludes_each_other_is_refused_and_all_the_rest_goes_together) {
  EXPECT_TRUE(check(CapabilitySet{}).has_value());
  CapabilitySet rest = CapabilitySet{}.set();
  for (const CapabilityRow& row : kCapabilities) {
    for (const std::string_view other : row.excludes) {
      CapabilitySet both;
      both.set(capability_index(row.name)).set(capability_index(other));
      for (const std::string_view need : row.needs) both.set(capability_index(need));
      EXPECT_EQ(check(both).error().message(), "Capability '" + std::string(row.name) +
                                                   "' excludes capability '" + std::string(other) +
                                                   "'");
      if (rest.test(capability_index(row.name))) rest.reset(capability_index(other));
    }
  }
  EXPECT_TRUE(check(rest).has_value());
}

TEST(Capabilities, an_unknown_name_has_no_index) {
  EXPECT_EQ(capability_index("rdma-pin-all"), kCapabilities.size());
}

}  // namespace
}  // namespace tern::params
