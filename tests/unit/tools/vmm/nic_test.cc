// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/nic.h"

#include <gtest/gtest.h>

namespace tern::vmm {
namespace {

TEST(nic, an_interface_and_a_mac_are_enough_and_the_id_counts_up) {
  const auto nic = parse_nic("eth0,mac=52:54:00:12:34:56", 3);
  ASSERT_TRUE(nic.has_value());
  EXPECT_EQ(nic->interface, "eth0");
  EXPECT_EQ(nic->mac, (MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}));
  EXPECT_EQ(nic->id, "net3");
  EXPECT_EQ(parse_nic("eth0,id=a,mac=52:54:00:12:34:56", 0)->id, "a");
}

TEST(nic, what_is_no_network_device_is_refused) {
  for (const char* text :
       {"", "eth0", "eth0,mac=", "eth0,mac=52:54:00:12:34", "eth0,mac=52:54:00:12:34:5g",
        "eth0,mac=52-54-00-12-34-56", ",mac=52:54:00:12:34:56", "eth0,id=,mac=52:54:00:12:34:56",
        "eth0,mac=52:54:00:12:34:56,x=1", "eth0,mac=52:54:00:12:34:567"}) {
    EXPECT_FALSE(parse_nic(text, 0).has_value()) << text;
  }
}

TEST(nic, without_a_device_nobody_announces) {
  const auto none = make_announcer({}, null_log());
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(*none, nullptr);
}

TEST(nic, an_interface_that_does_not_exist_is_named) {
  const auto made = make_announcer({{"nosuch0", {}, "a"}}, null_log());
  ASSERT_FALSE(made.has_value());
  if (made.error().code() == ErrorCode::unsupported) GTEST_SKIP() << "no CAP_NET_RAW";
  EXPECT_NE(made.error().message().find("nosuch0"), std::string::npos);
}

}  // namespace
}  // namespace tern::vmm
