// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/switchover.h"

#include <gtest/gtest.h>

#include <limits>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;

// 100 MiB/s for 300 ms: 30 MiB may be left when the guest stops.
SwitchoverInput at(uint64_t pending, uint64_t at_last_sync, bool just_synced) {
  SwitchoverInput in;
  in.bandwidth = 100 * kMiB;
  in.downtime_limit_ms = 300;
  in.pending_bytes = pending;
  in.pending_at_last_sync = at_last_sync;
  in.just_synced = just_synced;
  return in;
}

TEST(Switchover, threshold_is_what_fits_into_the_downtime_limit) {
  EXPECT_EQ(decide_switchover(at(kMiB, kMiB, true)).threshold_bytes, 30 * kMiB);
}

TEST(Switchover, stops_the_guest_when_a_sync_found_few_enough_dirty_pages) {
  EXPECT_EQ(decide_switchover(at(30 * kMiB, 30 * kMiB, true)).action,
            SwitchoverAction::switch_over);
}

TEST(Switchover, sends_on_when_the_sync_found_too_many) {
  EXPECT_EQ(decide_switchover(at(30 * kMiB + 1, 30 * kMiB + 1, true)).action,
            SwitchoverAction::send);
}

TEST(Switchover, never_stops_the_guest_on_an_estimate_alone) {
  EXPECT_EQ(decide_switchover(at(0, 100 * kMiB, false)).action, SwitchoverAction::sync);
  EXPECT_EQ(decide_switchover(at(10 * kMiB, 100 * kMiB, false)).action, SwitchoverAction::send);
}

TEST(Switchover, makes_another_pass_while_the_dirty_set_still_shrinks) {
  SwitchoverInput in = at(20 * kMiB, 20 * kMiB, true);
  in.pending_at_sync_before = 41 * kMiB;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::send);
  EXPECT_TRUE(decide_switchover(in).pass_for_less);
  in.pending_at_sync_before = 40 * kMiB;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::switch_over)
      << "half is not less than half";
}

TEST(Switchover, makes_no_further_pass_for_a_few_pages_or_for_ever) {
  SwitchoverInput few = at(kMiB / 8, kMiB / 8, true);
  few.pending_at_sync_before = 100 * kMiB;
  EXPECT_EQ(decide_switchover(few).action, SwitchoverAction::switch_over);
  SwitchoverInput tenth = at(20 * kMiB, 20 * kMiB, true);
  tenth.pending_at_sync_before = 100 * kMiB;
  tenth.passes_for_less = 10;
  EXPECT_EQ(decide_switchover(tenth).action, SwitchoverAction::switch_over);
}

TEST(Switchover, without_a_bandwidth_only_a_clean_guest_is_stopped) {
  SwitchoverInput in = at(4096, 4096, true);
  in.bandwidth = 0;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::send);
  in.pending_bytes = 0;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::switch_over);
}

TEST(Switchover, waits_for_the_acknowledgement_however_little_is_left) {
  SwitchoverInput in = at(0, 0, true);
  in.may_switch = false;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::send);
}

TEST(Switchover, a_downtime_limit_of_zero_still_ends_with_a_clean_sync) {
  SwitchoverInput in = at(0, 0, true);
  in.downtime_limit_ms = 0;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::switch_over);
  in.pending_bytes = 4096;
  EXPECT_EQ(decide_switchover(in).action, SwitchoverAction::send);
}

TEST(Switchover, expected_downtime_is_the_larger_of_now_and_the_last_sync) {
  EXPECT_EQ(decide_switchover(at(10 * kMiB, 50 * kMiB, false)).expected_downtime_ms, 500u);
  EXPECT_EQ(decide_switchover(at(70 * kMiB, 50 * kMiB, false)).expected_downtime_ms, 700u);
  EXPECT_EQ(decide_switchover(at(0, 0, true)).expected_downtime_ms, 0u);
}

TEST(Switchover, without_a_bandwidth_the_downtime_is_not_guessed) {
  SwitchoverInput in = at(4096, 4096, true);
  in.bandwidth = 0;
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms,
            static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

TEST(Switchover, largest_settings_do_not_overflow) {
  SwitchoverInput in = at(std::numeric_limits<uint64_t>::max(), 0, true);
  in.bandwidth = std::numeric_limits<uint64_t>::max();
  in.downtime_limit_ms = 2'000'000;
  const SwitchoverVerdict v = decide_switchover(in);
  EXPECT_EQ(v.threshold_bytes, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(v.action, SwitchoverAction::switch_over);
  EXPECT_EQ(v.expected_downtime_ms, 1000u);
}

}  // namespace
}  // namespace tern
