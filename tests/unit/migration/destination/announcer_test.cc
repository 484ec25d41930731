// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/announcer.h"

#include <gtest/gtest.h>

#include "tests/doubles/devices.h"

namespace tern {
namespace {

TEST(Announcer, delays_grow_by_the_step_up_to_the_ceiling) {
  const AnnounceParameters qemus;  // 50, 550, 5, 100
  EXPECT_EQ(announce_delay(qemus, 0), Milliseconds(50));
  EXPECT_EQ(announce_delay(qemus, 1), Milliseconds(150));
  EXPECT_EQ(announce_delay(qemus, 4), Milliseconds(450));
  EXPECT_EQ(announce_delay(qemus, 5), Milliseconds(550));
  EXPECT_EQ(announce_delay(qemus, 999), Milliseconds(550));
  EXPECT_EQ(announce_delay({.initial = 100000, .max = 100000, .rounds = 1000, .step = 10000}, 999),
            Milliseconds(100000));
  const AnnounceParameters beyond{UINT64_MAX, UINT64_MAX, 1, UINT64_MAX};
  EXPECT_EQ(announce_delay(beyond, UINT64_MAX), Milliseconds(86400000)) << "a day is the most";
}

TEST(Announcer, sends_as_many_rounds_as_it_was_told_to_the_interfaces_it_was_told) {
  test::CountingNetwork vmm;
  ThreadList threads;
  Announcer announcer(vmm, "", threads);
  ASSERT_TRUE(
      announcer.start({.initial = 1, .max = 1, .rounds = 4, .step = 1}, {"net0"}).has_value());
  vmm.wait_for(4);
  announcer.stop();
  EXPECT_EQ(vmm.count(), 4);
  EXPECT_EQ(vmm.last(), std::vector<std::string>{"net0"});
  EXPECT_TRUE(threads.list().empty());
}

TEST(Announcer, no_round_asks_nobody) {
  test::CountingNetwork vmm;
  ThreadList threads;
  Announcer announcer(vmm, "", threads);
  ASSERT_TRUE(announcer.start({.initial = 1, .max = 1, .rounds = 0, .step = 1}, {}).has_value());
  announcer.stop();
  EXPECT_EQ(vmm.count(), 0);
}

TEST(Announcer, stopped_it_does_not_wait_for_the_next_round) {
  test::CountingNetwork vmm;
  ThreadList threads;
  Announcer announcer(vmm, "", threads);
  ASSERT_TRUE(announcer.start({.initial = 100000, .max = 100000, .rounds = 1000, .step = 1}, {})
                  .has_value());
  vmm.wait_for(1);
  ASSERT_EQ(threads.list().size(), 1u);
  EXPECT_EQ(threads.list()[0].name, "mig/announce");
  announcer.stop();  // would hang the test for minutes
  EXPECT_EQ(vmm.count(), 1);
}

TEST(Announcer, started_again_the_old_series_ends) {
  test::CountingNetwork vmm;
  ThreadList threads;
  Announcer announcer(vmm, "", threads);
  ASSERT_TRUE(
      announcer.start({.initial = 100000, .max = 100000, .rounds = 1000, .step = 1}, {"old"})
          .has_value());
  vmm.wait_for(1);
  ASSERT_TRUE(
      announcer.start({.initial = 100000, .max = 100000, .rounds = 1000, .step = 1}, {"new"})
          .has_value());
  vmm.wait_for(2);
  EXPECT_EQ(vmm.last(), std::vector<std::string>{"new"});
}

}  // namespace
}  // namespace tern
