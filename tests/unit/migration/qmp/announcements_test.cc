// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/announcements.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace tern::qmp {
namespace {

class Counter final : public SelfAnnouncer {
 public:
  void announce(std::span<const std::string>) noexcept override {
    ++count;
    count.notify_all();
  }
  void wait_for(int wanted) {
    for (int now = count; now < wanted; now = count) count.wait(now);
  }
  std::atomic<int> count{0};
};

constexpr AnnounceParameters kLong{.initial = 100000, .max = 100000, .rounds = 1000, .step = 1};

TEST(Announcements, each_id_has_a_series_of_its_own) {
  Counter vmm;
  Announcements announcements(&vmm);
  ASSERT_TRUE(announcements.start("", kLong, {}).has_value());
  ASSERT_TRUE(announcements.start("a", kLong, {}).has_value());
  ASSERT_TRUE(announcements.start("a", kLong, {}).has_value());
  vmm.wait_for(3);
}

TEST(Announcements, what_is_out_of_the_parameters_ranges_is_refused_by_name) {
  Announcements announcements(nullptr);
  const auto result = announcements.start("", {.initial = 50, .max = 550, .rounds = 1001}, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "Parameter 'announce-rounds' must be 0..1000, not 1001");
  EXPECT_FALSE(announcements.start("", {.step = 0}, {}).has_value());
}

TEST(Announcements, without_a_network_device_nothing_is_sent_and_nothing_is_wrong) {
  Announcements announcements(nullptr);
  EXPECT_TRUE(announcements.start("", {}, {}).has_value());
}

TEST(Announcements, a_client_cannot_start_threads_without_end) {
  Counter vmm;
  Announcements announcements(&vmm);
  for (size_t i = 0; i < Announcements::kMax; ++i) {
    ASSERT_TRUE(announcements.start(std::to_string(i), kLong, {}).has_value());
  }
  EXPECT_FALSE(announcements.start("one more", kLong, {}).has_value());
  EXPECT_TRUE(announcements.start("0", kLong, {}).has_value());
}

}  // namespace
}  // namespace tern::qmp
