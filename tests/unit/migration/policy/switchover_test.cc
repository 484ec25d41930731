// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/switchover.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace tern {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// 100 MiB/s for 300 ms: 30 MiB may be left when the guest stops. By default at the end of a pass.
SwitchoverInput looked(uint64_t pending) {
  SwitchoverInput in;
  in.bandwidth = 100 * kMiB;
  in.downtime_limit_ms = 300;
  in.pending_bytes = pending;
  in.unsent_bytes = pending;
  in.dirty_rate = 100 * kMiB;  // as fast as the link: no pass makes it less
  in.just_looked = true;
  return in;
}
SwitchoverInput sending(uint64_t pending, uint64_t unsent, uint64_t rate, Nanoseconds since) {
  SwitchoverInput in = looked(pending);
  in.just_looked = false;
  in.unsent_bytes = unsent;
  in.dirty_rate = rate;
  in.since_look = since;
  return in;
}
SwitchoverAction action(const SwitchoverInput& in) { return decide_switchover(in).action; }

TEST(Switchover, threshold_is_what_fits_into_the_downtime_limit) {
  EXPECT_EQ(decide_switchover(looked(kMiB)).threshold_bytes, 30 * kMiB);
}

TEST(Switchover, the_last_look_takes_its_part_of_the_limit) {
  SwitchoverInput in = looked(kMiB);
  in.look_time = Milliseconds(50);
  EXPECT_EQ(decide_switchover(in).overhead_ms, 50u);
  EXPECT_EQ(decide_switchover(in).threshold_bytes, 25 * kMiB);
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms, 60u) << "10 to send, 50 to look";
  in.look_time = Milliseconds(5000);
  EXPECT_EQ(decide_switchover(in).threshold_bytes, 15 * kMiB) << "never more than half of it";
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms, 5010u) << "but nothing is hidden";
}

TEST(Switchover, stops_the_guest_when_a_look_found_few_enough_dirty_pages) {
  EXPECT_EQ(action(looked(30 * kMiB)), SwitchoverAction::switch_over);
}

TEST(Switchover, sends_on_when_the_look_found_too_many) {
  EXPECT_EQ(action(looked(30 * kMiB + 1)), SwitchoverAction::send);
}

TEST(Switchover, never_stops_the_guest_on_an_estimate_alone) {
  EXPECT_EQ(action(sending(0, 0, 0, Milliseconds(500))), SwitchoverAction::look);
  EXPECT_EQ(action(sending(10 * kMiB, 10 * kMiB, 0, Milliseconds(500))), SwitchoverAction::look);
}

TEST(Switchover, looks_in_the_middle_of_a_pass_every_second) {
  EXPECT_EQ(action(sending(900 * kMiB, 900 * kMiB, 0, Milliseconds(999))), SwitchoverAction::send);
  EXPECT_EQ(action(sending(900 * kMiB, 900 * kMiB, 0, Milliseconds(1000))), SwitchoverAction::look);
  SwitchoverInput dear = sending(900 * kMiB, 900 * kMiB, 0, Milliseconds(1000));
  dear.look_time = Milliseconds(100);
  EXPECT_EQ(action(dear), SwitchoverAction::send) << "a twentieth of the time at most";
  dear.since_look = Milliseconds(2000);
  EXPECT_EQ(action(dear), SwitchoverAction::look);
}

TEST(Switchover, looks_as_soon_as_what_a_look_would_find_fits) {
  // 20 MiB known, and 100 ms at 100 MiB/s.
  EXPECT_EQ(action(sending(20 * kMiB, kMiB, 100 * kMiB, Milliseconds(100))),
            SwitchoverAction::look);
  EXPECT_EQ(action(sending(21 * kMiB, kMiB, 100 * kMiB, Milliseconds(100))),
            SwitchoverAction::send);
  EXPECT_EQ(action(sending(kMiB, kMiB, 0, Milliseconds(9))), SwitchoverAction::send)
      << "not all the time";
}

TEST(Switchover, looks_seldom_where_it_only_goes_on_because_that_is_better) {
  SwitchoverInput in = sending(kMiB, kMiB, 0, Milliseconds(99));
  in.fitted = true;
  EXPECT_EQ(action(in), SwitchoverAction::send);
  in.since_look = Milliseconds(100);
  EXPECT_EQ(action(in), SwitchoverAction::look);
}

TEST(Switchover, looks_more_often_where_it_is_told_to) {
  SwitchoverInput in = sending(900 * kMiB, 900 * kMiB, 0, Milliseconds(250));
  EXPECT_EQ(action(in), SwitchoverAction::send);
  in.look_period = Milliseconds(250);
  EXPECT_EQ(action(in), SwitchoverAction::look);
}

TEST(Switchover, pages_written_just_now_wait_only_where_such_pages_are_written_again_sooner) {
  // A tenth of the dirty pages is written all the time.
  EXPECT_TRUE(postpone_found({.dirty = 1000, .hot = 100, .found = 110, .hot_again = 95}));
  // A guest that goes through its memory in order: what it wrote last is not written again.
  EXPECT_FALSE(postpone_found({.dirty = 1000, .hot = 100, .found = 100, .hot_again = 0}));
  // At random nothing speaks for either, and the first look knows nothing.
  EXPECT_FALSE(postpone_found({.dirty = 1000, .hot = 100, .found = 100, .hot_again = 10}));
  EXPECT_FALSE(postpone_found({.dirty = 1000, .hot = 0, .found = 100, .hot_again = 0}));
  EXPECT_FALSE(postpone_found({.dirty = kMost, .hot = kMost, .found = kMost, .hot_again = kMost}));
  EXPECT_TRUE(postpone_found(
      {.dirty = kMost, .hot = kMost / 2, .found = kMost / 2, .hot_again = kMost / 2}));
}

TEST(Switchover, does_not_look_in_a_pass_where_nothing_can_be_found) {
  SwitchoverInput in = sending(kMiB, kMiB, 0, Milliseconds(5000));
  in.can_look = false;
  EXPECT_EQ(action(in), SwitchoverAction::send);
}

TEST(Switchover, sends_on_while_that_makes_the_rest_less_than_half) {
  SwitchoverInput in = looked(20 * kMiB);
  in.dirty_rate = 49 * kMiB;
  EXPECT_EQ(action(in), SwitchoverAction::send);
  EXPECT_TRUE(decide_switchover(in).pass_for_less);
  in.dirty_rate = 50 * kMiB;
  EXPECT_EQ(action(in), SwitchoverAction::switch_over) << "half is not less than half";
}

TEST(Switchover, takes_the_moment_before_the_rest_rises_again) {
  // In the middle of a pass: 20 MiB dirty, of which 5 are unsent. Calm, the pass would bring it to
  // 15, which is no reason to wait; the guest gets busier, and it would be above the limit.
  SwitchoverInput in = looked(20 * kMiB);
  in.unsent_bytes = 5 * kMiB;
  for (const uint64_t rate : {uint64_t{0}, 100 * kMiB, 1000 * kMiB}) {
    in.dirty_rate = rate;
    EXPECT_EQ(action(in), SwitchoverAction::switch_over) << rate;
  }
  // All but 5 MiB are unsent: after the pass it is a quarter.
  in.unsent_bytes = 15 * kMiB;
  in.dirty_rate = 10 * kMiB;
  EXPECT_EQ(action(in), SwitchoverAction::send);
}

TEST(Switchover, makes_no_further_pass_for_a_few_pages_or_for_ever) {
  SwitchoverInput few = looked(kMiB / 8);
  few.dirty_rate = 0;
  EXPECT_EQ(action(few), SwitchoverAction::switch_over);
  SwitchoverInput tenth = looked(20 * kMiB);
  tenth.dirty_rate = 0;
  tenth.passes_for_less = 10;
  EXPECT_EQ(action(tenth), SwitchoverAction::switch_over);
}

TEST(Switchover, without_a_bandwidth_only_a_clean_guest_is_stopped) {
  SwitchoverInput in = looked(4096);
  in.bandwidth = 0;
  EXPECT_EQ(action(in), SwitchoverAction::send);
  in = looked(0);
  in.bandwidth = 0;
  EXPECT_EQ(action(in), SwitchoverAction::switch_over);
}

TEST(Switchover, waits_for_the_acknowledgement_however_little_is_left) {
  SwitchoverInput in = looked(0);
  in.may_switch = false;
  EXPECT_EQ(action(in), SwitchoverAction::send);
}

TEST(Switchover, a_downtime_limit_of_zero_still_ends_with_a_clean_look) {
  SwitchoverInput in = looked(0);
  in.downtime_limit_ms = 0;
  EXPECT_EQ(action(in), SwitchoverAction::switch_over);
  in = looked(4096);
  in.downtime_limit_ms = 0;
  EXPECT_EQ(action(in), SwitchoverAction::send);
}

TEST(Switchover, expected_downtime_is_that_of_what_a_look_would_find_now) {
  EXPECT_EQ(decide_switchover(looked(50 * kMiB)).expected_downtime_ms, 500u);
  EXPECT_EQ(
      decide_switchover(sending(50 * kMiB, 0, 100 * kMiB, Milliseconds(100))).expected_downtime_ms,
      600u);
  EXPECT_EQ(decide_switchover(looked(0)).expected_downtime_ms, 0u);
}

TEST(Switchover, without_a_bandwidth_the_downtime_is_not_guessed) {
  SwitchoverInput in = looked(4096);
  in.bandwidth = 0;
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms,
            static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

TEST(Switchover, largest_numbers_do_not_overflow) {
  SwitchoverInput in = looked(kMost);
  in.bandwidth = kMost;
  in.dirty_rate = kMost;
  in.downtime_limit_ms = 2'000'000;
  in.since_look = Nanoseconds::max();
  EXPECT_EQ(decide_switchover(in).threshold_bytes, kMost);
  EXPECT_EQ(action(in), SwitchoverAction::switch_over);
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms, 1000u);
  in.just_looked = false;
  EXPECT_EQ(decide_switchover(in).expected_downtime_ms, 1000u) << "the sum stays at its most";
}

// ---- a guest, a link and a decision, step by step

struct Outcome {
  double at_s = 0;             ///< when the guest was stopped
  uint64_t pending_bytes = 0;  ///< with what
};

/// Plays a migration at 100 MiB/s of a guest that makes `rate(t)` bytes/s dirty, out of memory much
/// larger than what it dirties; at most for `limit_s`.
template <typename Decide>
Outcome play(const std::function<double(double)>& rate, double limit_s, bool within_passes,
             Decide&& decide) {
  constexpr double kStep = 0.005;
  constexpr double kBandwidth = 100.0 * kMiB;
  double unsent = 400.0 * kMiB, next = 0, hidden = 0, rate_seen = 0, looked_at = 0;
  uint32_t for_less = 0;
  bool just_looked = false;
  for (double t = 0; t < limit_s; t += kStep) {
    SwitchoverInput in;
    in.bandwidth = 100 * kMiB;
    in.pending_bytes = static_cast<uint64_t>(unsent + next);
    in.unsent_bytes = static_cast<uint64_t>(unsent);
    in.dirty_rate = static_cast<uint64_t>(rate_seen);
    in.since_look = Nanoseconds(static_cast<int64_t>((t - looked_at) * 1e9));
    in.just_looked = just_looked;
    in.passes_for_less = for_less;
    just_looked = false;
    const SwitchoverVerdict v = decide(in);
    if (v.action == SwitchoverAction::switch_over) {
      return {t, static_cast<uint64_t>(unsent + next + hidden)};
    }
    if (v.action == SwitchoverAction::look) {
      if (t - looked_at >= 0.05) rate_seen = hidden / (t - looked_at);
      next += std::exchange(hidden, 0);
      looked_at = t;
      just_looked = true;
      if (unsent < 1 || !within_passes) unsent += std::exchange(next, 0);
      continue;
    }
    if (v.pass_for_less && in.unsent_bytes == in.pending_bytes) ++for_less;
    unsent = std::max(unsent - kBandwidth * kStep, 0.0);
    hidden += rate(t) * kStep;
  }
  return {limit_s, static_cast<uint64_t>(unsent + next + hidden)};
}

TEST(Switchover, a_guest_that_is_busy_by_turns_is_stopped_in_a_calm_moment) {
  // Two seconds at one and a half of the link's speed, two seconds of almost nothing.
  const auto rate = [](double t) { return (std::fmod(t, 4.0) < 2.0 ? 150.0 : 1.0) * kMiB; };
  const Outcome tern = play(rate, 120, true, decide_switchover);
  EXPECT_LT(tern.at_s, 120);
  EXPECT_LE(tern.pending_bytes, 30 * kMiB);
  const Outcome qemu = play(rate, 120, false, [](const SwitchoverInput& in) {
    return decide_as_qemu(in, SwitchoverPolicy::qemu_10_2);
  });
  EXPECT_LE(tern.pending_bytes, qemu.pending_bytes);
}

TEST(Switchover, a_calm_guest_is_stopped_with_less_than_qemu_leaves) {
  const auto rate = [](double) { return 10.0 * kMiB; };
  const Outcome tern = play(rate, 60, true, decide_switchover);
  const Outcome qemu = play(rate, 60, false, [](const SwitchoverInput& in) {
    return decide_as_qemu(in, SwitchoverPolicy::qemu_7_2);
  });
  EXPECT_LT(qemu.at_s, 60);
  EXPECT_LT(tern.pending_bytes, qemu.pending_bytes / 2);
  EXPECT_LT(tern.at_s, qemu.at_s + 1);
}

TEST(Switchover, a_guest_that_is_too_fast_is_not_stopped) {
  const Outcome tern = play([](double) { return 150.0 * kMiB; }, 60, true, decide_switchover);
  EXPECT_EQ(tern.at_s, 60);
}

// ---- QEMU's

constexpr auto kQemus = {SwitchoverPolicy::qemu_7_2, SwitchoverPolicy::qemu_10_2};
SwitchoverAction qemu(const SwitchoverInput& in, SwitchoverPolicy version) {
  return decide_as_qemu(in, version).action;
}

TEST(SwitchoverAsQemu, looks_when_what_it_knows_is_below_the_threshold) {
  for (const auto version : kQemus) {
    EXPECT_EQ(qemu(sending(30 * kMiB, 30 * kMiB, 0, Milliseconds(0)), version),
              version == SwitchoverPolicy::qemu_7_2 ? SwitchoverAction::send
                                                    : SwitchoverAction::switch_over)
        << "7.2 wants less, 10.2 takes as much";
    EXPECT_EQ(qemu(sending(30 * kMiB - 1, kMiB, 0, Milliseconds(0)), version),
              SwitchoverAction::look);
    EXPECT_EQ(qemu(sending(31 * kMiB, kMiB, 0, Milliseconds(9999)), version),
              SwitchoverAction::send)
        << "never by time";
  }
}

TEST(SwitchoverAsQemu, takes_the_next_moment_that_fits) {
  for (const auto version : kQemus) {
    SwitchoverInput in = looked(29 * kMiB);
    in.dirty_rate = 0;
    EXPECT_EQ(qemu(in, version), SwitchoverAction::switch_over);
    in.may_switch = false;
    EXPECT_EQ(qemu(in, version), SwitchoverAction::send);
    EXPECT_EQ(qemu(looked(31 * kMiB), version), SwitchoverAction::send);
  }
}

TEST(SwitchoverAsQemu, with_a_threshold_of_zero_it_stops_the_guest_without_a_look) {
  for (const auto version : kQemus) {
    SwitchoverInput in = sending(0, 0, 1000 * kMiB, Milliseconds(5000));
    in.downtime_limit_ms = 0;
    EXPECT_EQ(qemu(in, version), SwitchoverAction::switch_over);
  }
}

}  // namespace
}  // namespace tern
