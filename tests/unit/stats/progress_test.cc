// SPDX-License-Identifier: Apache-2.0
#include "stats/progress.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/doubles/manual_clock.h"

namespace tern {
namespace {

using test::ManualClock;
constexpr Milliseconds ms(int n) { return Milliseconds(n); }

struct Fixture {
  ManualClock clock;
  Progress progress{clock};
};

TEST(Progress, before_the_beginning_no_time_has_passed) {
  Fixture f;
  f.clock.advance(ms(500));
  const StatsSnapshot s = f.progress.snapshot();
  EXPECT_EQ(s.total_time, ms(0));
  EXPECT_EQ(s.setup_time, ms(0));
  EXPECT_FALSE(s.downtime);
  EXPECT_FALSE(s.expected_downtime);
  EXPECT_EQ(s.taken_at, f.clock.now());
}

TEST(Progress, a_throttle_counts_while_the_guest_runs) {
  Fixture f;
  f.progress.begin();
  f.progress.set_throttle(50);
  f.clock.advance(ms(100));
  EXPECT_EQ(f.progress.snapshot().throttle.percent_ms, 5000u);
  f.progress.set_guest_runs(false);
  f.clock.advance(ms(1000));
  EXPECT_EQ(f.progress.snapshot().throttle.percent_ms, 5000u);
  EXPECT_EQ(f.progress.snapshot().throttle.percent, 50u);
  f.progress.set_throttle(80);
  f.clock.advance(ms(1000));
  f.progress.set_guest_runs(true);
  f.clock.advance(ms(10));
  f.progress.set_throttle(0);
  f.clock.advance(ms(1000));
  EXPECT_EQ(f.progress.snapshot().throttle.percent_ms, 5800u);
}

TEST(Progress, total_time_runs_from_begin_to_end_and_then_stands_still) {
  Fixture f;
  f.progress.begin();
  f.clock.advance(ms(40));
  EXPECT_EQ(f.progress.snapshot().total_time, ms(40));
  f.clock.advance(ms(60));
  f.progress.end();
  f.clock.advance(ms(1000));
  EXPECT_EQ(f.progress.snapshot().total_time, ms(100));
}

TEST(Progress, a_second_end_does_not_move_the_first) {
  Fixture f;
  f.progress.begin();
  f.clock.advance(ms(10));
  f.progress.end();
  f.clock.advance(ms(10));
  f.progress.end();
  EXPECT_EQ(f.progress.snapshot().total_time, ms(10));
}

TEST(Progress, setup_time_ends_when_setup_is_done) {
  Fixture f;
  f.progress.begin();
  f.clock.advance(ms(15));
  f.progress.setup_done();
  f.clock.advance(ms(85));
  EXPECT_EQ(f.progress.snapshot().setup_time, ms(15));
}

TEST(Progress, mbps_of_the_whole_leaves_setup_out) {
  Fixture f;
  f.progress.begin();
  f.clock.advance(ms(1000));
  f.progress.setup_done();
  f.progress.transferred.add(125'000'000);
  f.clock.advance(ms(1000));
  f.progress.end();
  // 125 MB in one second are 1000 megabits per second.
  EXPECT_DOUBLE_EQ(f.progress.snapshot().mbps, 1000.0);
}

TEST(Progress, a_rate_window_shorter_than_100_ms_is_not_closed) {
  Fixture f;
  f.progress.begin();
  f.progress.transferred.add(1'000'000);
  f.clock.advance(ms(99));
  f.progress.tick();
  EXPECT_EQ(f.progress.snapshot().mbps, 0.0);
}

TEST(Progress, each_window_counts_only_what_moved_in_it) {
  Fixture f;
  f.progress.begin();
  f.progress.transferred.add(1'250'000);
  f.progress.ram.normal.add(300);
  f.progress.ram.duplicate.add(200);
  f.clock.advance(ms(100));
  f.progress.tick();
  EXPECT_DOUBLE_EQ(f.progress.snapshot().mbps, 100.0);
  EXPECT_EQ(f.progress.snapshot().pages_per_second, 5000u);
  f.clock.advance(ms(200));
  f.progress.ram.normal.add(100);
  f.progress.tick();
  EXPECT_DOUBLE_EQ(f.progress.snapshot().mbps, 0.0);
  EXPECT_EQ(f.progress.snapshot().pages_per_second, 500u);
}

TEST(Progress, snapshot_takes_every_counter) {
  Fixture f;
  f.progress.transferred.set(1);
  f.progress.remaining.set(2);
  f.progress.total.set(3);
  f.progress.ram.duplicate.set(4);
  f.progress.ram.normal.set(5);
  f.progress.dirty_pages_rate.set(6);
  f.progress.dirty_sync_count.set(7);
  f.progress.precopy_bytes.set(8);
  f.progress.downtime_bytes.set(9);
  f.progress.set_never_touched(10);
  const StatsSnapshot s = f.progress.snapshot();
  EXPECT_EQ(s.transferred, 1u);
  EXPECT_EQ(s.remaining, 2u);
  EXPECT_EQ(s.total, 3u);
  EXPECT_EQ(s.duplicate, 4u);
  EXPECT_EQ(s.normal, 5u);
  EXPECT_EQ(s.normal_bytes, 5u * 4096);
  EXPECT_EQ(s.dirty_pages_rate, 6u);
  EXPECT_EQ(s.dirty_sync_count, 7u);
  EXPECT_EQ(s.precopy_bytes, 8u);
  EXPECT_EQ(s.downtime_bytes, 9u);
  EXPECT_EQ(s.never_touched_bytes, 10u);
}

TEST(Progress, downtime_is_told_only_when_it_is_over_and_is_the_sum_of_its_phases) {
  Fixture f;
  DowntimePhases phases;
  phases.stop_vcpus = ms(1);
  phases.final_sync = ms(2);
  f.progress.set_downtime(phases, false);
  EXPECT_FALSE(f.progress.snapshot().downtime);
  EXPECT_EQ(f.progress.snapshot().downtime_phases.final_sync, ms(2));
  phases.last_pages = ms(4);
  phases.device_save = ms(8);
  phases.peer_load = ms(16);
  phases.paused = ms(32);
  f.progress.set_downtime(phases, true);
  EXPECT_EQ(f.progress.snapshot().downtime, ms(63));
}

TEST(Progress, what_was_decided_and_chosen_is_in_the_snapshot) {
  Fixture f;
  f.progress.set_decision({1, 2, 3, 4, 5, 6, 7, 8});
  f.progress.set_expected_downtime(ms(70));
  f.progress.set_ending(Ending::kept);
  f.progress.set_choice(Progress::Choice::tracker, "wp-async");
  f.progress.set_choice(Progress::Choice::hole_finder, "pagemap-scan");
  f.progress.set_choice(Progress::Choice::page_ops, "avx2");
  f.progress.set_choice(Progress::Choice::peer, "qemu");
  f.progress.set_choice(Progress::Choice::transport, "tcp:h:1");
  const StatsSnapshot s = f.progress.snapshot();
  EXPECT_EQ(s.switchover.threshold_bytes, 4u);
  EXPECT_EQ(s.switchover.measured_bandwidth, 8u);
  EXPECT_EQ(s.expected_downtime, ms(70));
  EXPECT_EQ(s.ending, Ending::kept);
  EXPECT_EQ(s.tracker, "wp-async");
  EXPECT_EQ(s.hole_finder, "pagemap-scan");
  EXPECT_EQ(s.page_ops, "avx2");
  EXPECT_EQ(s.peer, "qemu");
  EXPECT_EQ(s.transport, "tcp:h:1");
}

TEST(Ending, words_are_different) {
  std::set<std::string_view> words;
  for (const Ending e : {Ending::none, Ending::handed_over, Ending::kept, Ending::unknown,
                         Ending::taken, Ending::not_taken}) {
    words.insert(to_string(e));
  }
  EXPECT_EQ(words.size(), 6u);
  EXPECT_EQ(to_string(Ending::handed_over), "handed-over");
}

}  // namespace
}  // namespace tern
