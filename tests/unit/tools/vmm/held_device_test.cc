// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/held_device.h"

#include <gtest/gtest.h>

#include "tests/doubles/manual_clock.h"

namespace tern::vmm {
namespace {

TEST(held_device, words_are_understood_or_refused) {
  EXPECT_EQ(parse_held_device("net0")->after, Milliseconds(100));
  EXPECT_EQ(parse_held_device("net0,after=7")->after, Milliseconds(7));
  EXPECT_FALSE(parse_held_device("net0,after=never")->after.has_value());
  for (const char* text : {"", ",after=1", "net0,", "net0,after=", "net0,after=x", "net0,x=1"}) {
    EXPECT_FALSE(parse_held_device(text).has_value()) << text;
  }
}

TEST(held_device, the_guest_lets_go_some_time_after_it_was_asked) {
  test::ManualClock clock;
  HeldDevice device({"net0", Milliseconds(10)}, clock);
  EXPECT_EQ(device.id(), "net0");
  clock.advance(Milliseconds(50));
  EXPECT_FALSE(device.unplugged()) << "nobody asked";
  EXPECT_TRUE(device.request_unplug().has_value());
  EXPECT_FALSE(device.unplugged());
  clock.advance(Milliseconds(10));
  EXPECT_TRUE(device.unplugged());
  device.plug_back();
  EXPECT_FALSE(device.unplugged());
}

TEST(held_device, one_that_is_never_let_go_of_stays) {
  test::ManualClock clock;
  HeldDevice device({"net0", std::nullopt}, clock);
  EXPECT_TRUE(device.request_unplug().has_value());
  clock.advance(Milliseconds(1000000));
  EXPECT_FALSE(device.unplugged());
}

}  // namespace
}  // namespace tern::vmm
