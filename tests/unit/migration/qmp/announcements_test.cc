// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/announcements.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/doubles/devices.h"

namespace tern::qmp {
namespace {

constexpr AnnounceParameters kLong{.initial = 100000, .max = 100000, .rounds = 1000, .step = 1};

TEST(Announcements, each_id_has_a_series_of_its_own) {
  test::CountingNetwork vmm;
  Announcements announcements(&vmm);
  ASSERT_TRUE(announcements.start("", kLong, {}).has_value());
  ASSERT_TRUE(announcements.start("a", kLong, {}).has_value());
  ASSERT_TRUE(announcements.start("a", kLong, {}).has_value());
  vmm.wait_for(3);
}

TEST(Announcements, any_numbers_are_taken_as_in_qemu) {
  test::CountingNetwork vmm;
  Announcements announcements(&vmm);
  constexpr uint64_t kMost = INT64_MAX;
  ASSERT_TRUE(announcements.start("", {kMost, kMost, kMost, kMost}, {}).has_value());
  vmm.wait_for(1);
  EXPECT_TRUE(announcements.start("", {.initial = 0, .max = 0, .rounds = 3, .step = 0}, {}));
  vmm.wait_for(4);
}

TEST(Announcements, a_series_that_is_over_makes_room_for_another) {
  test::CountingNetwork vmm;
  Announcements announcements(&vmm);
  for (size_t i = 0; i < 3 * Announcements::kMax; ++i) {
    // Room comes when the last round is over, which is soon, but not at once.
    Result<void> started = announcements.start(std::to_string(i), {.rounds = 1}, {});
    while (!started) {
      std::this_thread::yield();
      started = announcements.start(std::to_string(i), {.rounds = 1}, {});
    }
  }
}

TEST(Announcements, without_a_network_device_nothing_is_sent_and_nothing_is_wrong) {
  Announcements announcements(nullptr);
  EXPECT_TRUE(announcements.start("", {}, {}).has_value());
}

TEST(Announcements, a_client_cannot_start_threads_without_end) {
  test::CountingNetwork vmm;
  Announcements announcements(&vmm);
  for (size_t i = 0; i < Announcements::kMax; ++i) {
    ASSERT_TRUE(announcements.start(std::to_string(i), kLong, {}).has_value());
  }
  EXPECT_FALSE(announcements.start("one more", kLong, {}).has_value());
  EXPECT_TRUE(announcements.start("0", kLong, {}).has_value());
}

}  // namespace
}  // namespace tern::qmp
