// SPDX-License-Identifier: Apache-2.0
//
// A guest that dirties faster than the link carries: what holds it back, by how much, until when,
// and that every end of the migration gives it its time back. The clock runs fast, the vCPU's does
// not.
#include <gtest/gtest.h>

#include <functional>

#include "tests/doubles/manual_clock.h"
#include "tests/doubles/pair.h"

namespace tern {
namespace {

using test::FastClock;
using test::Pair;

constexpr uint64_t kLink = 400'000;  // bytes/s, and of the fast clock's seconds

struct Fast {
  FastClock fast{40};  // before Pair, whose migrations look at it until they are gone
};

/// A guest that rewrites 1 MiB all the time, and a link that carries a third of it in a second.
struct BusyPair : Fast, Pair {
  Settings settings;

  BusyPair() {
    adjust_a = [this](Machine& machine) { machine.clock = &fast; };
    settings.auto_converge = true;
    settings.max_bandwidth = kLink;
    settings.avail_switchover_bandwidth = kLink;
  }
  void run() {
    prepare(settings);
    start();
    a_events.wait_for("active");
  }
  /// Waits until the throttle has taken so many steps.
  ThrottleStats wait_steps(size_t steps) {
    for (;;) {
      ThrottleStats stats = source->stats().throttle;
      if (stats.course.size() >= steps) return stats;
      EXPECT_EQ(source->stats().status, Status::active);
      if (source->stats().status != Status::active) return stats;
      std::this_thread::yield();
    }
  }
  /// The first steps of a throttle with these settings; the migration is cancelled.
  std::vector<uint32_t> steps(size_t count) {
    run();
    const ThrottleStats stats = wait_steps(count);
    EXPECT_TRUE(source->cancel());
    source->wait();
    std::vector<uint32_t> percents;
    for (size_t i = 0; i < std::min(count, stats.course.size()); ++i) {
      percents.push_back(stats.course[i].percent);
    }
    return percents;
  }
};
using Percents = std::vector<uint32_t>;

void expect_let_go(BusyPair& pair) {
  EXPECT_FALSE(pair.a.held());
  const uint64_t holds = pair.a.holds();
  const ThrottleStats stats = pair.source->stats().throttle;
  EXPECT_EQ(stats.percent, 0u);
  ASSERT_FALSE(stats.course.empty());
  EXPECT_EQ(stats.course.back().percent, 0u);
  EXPECT_GT(stats.percent_ms, 0u);
  EXPECT_EQ(pair.source->stats().throttle.percent_ms, stats.percent_ms);
  EXPECT_EQ(pair.a.holds(), holds);
}

TEST(Effect, auto_converge) {
  BusyPair with;
  EXPECT_EQ(with.steps(2), (Percents{20, 30}));
  EXPECT_GT(with.a.holds(), 0u);
  BusyPair without;
  without.settings.auto_converge = false;
  without.run();
  without.a.wait_rounds(50);
  while (without.source->stats().dirty_sync_count < 8) std::this_thread::yield();
  EXPECT_TRUE(without.source->stats().throttle.course.empty());
  EXPECT_EQ(without.a.holds(), 0u);
}

TEST(Effect, throttle_trigger_threshold) {
  // What was sent is dirty again, but never more than what was sent, with its headers.
  BusyPair lenient;
  lenient.settings.throttle_trigger_threshold = 100;
  lenient.run();
  while (lenient.source->stats().dirty_sync_count < 8) std::this_thread::yield();
  EXPECT_TRUE(lenient.source->stats().throttle.course.empty());
  lenient.settings.throttle_trigger_threshold = 1;  // live
  lenient.source->update(lenient.settings);
  EXPECT_EQ(lenient.wait_steps(1).course.at(0).percent, 20u);
}

TEST(Effect, cpu_throttle_initial) {
  BusyPair pair;
  pair.settings.cpu_throttle_initial = 37;
  EXPECT_EQ(pair.steps(2), (Percents{37, 47}));
}

TEST(Effect, cpu_throttle_increment) {
  BusyPair pair;
  pair.settings.cpu_throttle_increment = 33;
  EXPECT_EQ(pair.steps(2), (Percents{20, 53}));
}

TEST(Effect, cpu_throttle_tailslow) {
  BusyPair pair;
  pair.settings.cpu_throttle_increment = 70;
  pair.settings.cpu_throttle_tailslow = true;
  const Percents steps = pair.steps(2);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_GT(steps[1], 20u);
  EXPECT_LT(steps[1], 90u) << "half the dirty rate would do, not a ninth of it";
}

TEST(Effect, max_cpu_throttle) {
  BusyPair pair;
  pair.settings.max_cpu_throttle = 25;
  pair.settings.cpu_throttle_increment = 99;
  EXPECT_EQ(pair.steps(2), (Percents{20, 25}));
}

TEST(Effect, x_switchover_policy) {
  // With no downtime allowed QEMU 7.2 stops a guest of which it knows nothing dirty, without having
  // looked. tern never does.
  const auto prepared = [](BusyPair& pair, SwitchoverPolicy policy) {
    pair.settings.auto_converge = false;
    pair.settings.max_bandwidth = 0;
    pair.settings.downtime_limit = 0;
    pair.settings.switchover_policy = policy;
    pair.run();
  };
  BusyPair qemu;
  prepared(qemu, SwitchoverPolicy::qemu_7_2);
  qemu.source->wait();
  EXPECT_EQ(qemu.source->stats().status, Status::completed);
  EXPECT_GT(qemu.source->stats().switchover.final_dirty_bytes, 0u);
  EXPECT_EQ(qemu.source->stats().switchover.pending_bytes, 0u);
  EXPECT_EQ(qemu.source->stats().dirty_sync_count, 2u) << "at the beginning and at the end";
  EXPECT_EQ(qemu.b.check(), "");
  BusyPair tern;
  prepared(tern, SwitchoverPolicy::tern);
  // It may find the guest clean at last, in a moment in which nothing let it run.
  while (tern.source->stats().dirty_sync_count < 3) std::this_thread::yield();
}

TEST(Convergence, a_guest_that_is_too_fast_arrives_with_auto_converge) {
  BusyPair pair;
  // Only a guest that stands still most of the time dirties less than all of its memory between two
  // looks; what could let it go before is kept back.
  pair.settings.cpu_throttle_initial = 99;
  pair.settings.max_bandwidth = 0;
  pair.settings.downtime_limit = 2000;
  pair.settings.switchover_ack = true;
  pair.prepare(pair.settings);
  pair.destination->hold_switchover();
  pair.start();
  pair.a_events.wait_for("active");
  pair.wait_steps(1);
  pair.destination->release_switchover();
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
  EXPECT_EQ(pair.b.check(), "");
  const SwitchoverDecision decision = pair.source->stats().switchover;
  EXPECT_EQ(decision.measured_bandwidth > 0, decision.final_dirty_bytes > 0);
  EXPECT_LE(decision.pending_bytes, decision.threshold_bytes);
  expect_let_go(pair);
}

TEST(Convergence, a_cancelled_migration_lets_the_guest_go) {
  BusyPair pair;
  pair.run();
  pair.wait_steps(2);
  ASSERT_TRUE(pair.source->cancel());
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::cancelled);
  expect_let_go(pair);
  EXPECT_EQ(pair.a.check(), "");
}

TEST(Convergence, a_failed_migration_lets_the_guest_go_before_it_runs_on) {
  BusyPair pair;
  pair.run();
  pair.wait_steps(1);
  pair.destination.reset();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_TRUE(pair.a.running());
  expect_let_go(pair);
}

TEST(Convergence, a_yank_lets_the_guest_go) {
  BusyPair pair;
  pair.run();
  pair.wait_steps(1);
  pair.source->yank();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  expect_let_go(pair);
}

TEST(Convergence, a_source_that_is_destroyed_lets_the_guest_go) {
  BusyPair pair;
  pair.run();
  pair.wait_steps(1);
  pair.source.reset();
  EXPECT_FALSE(pair.a.held());
  EXPECT_TRUE(pair.a.running());
}

TEST(Convergence, a_machine_without_vcpus_to_hold_is_told) {
  struct Rigid final : VcpuControl {
    RunState run_state() const noexcept override { return RunState::running; }
    Result<RunState> pause_all(RunState) noexcept override { return RunState::running; }
    Result<void> resume_all() noexcept override { return {}; }
    void set_stopped_state(RunState) noexcept override {}
  } rigid;
  BusyPair pair;
  pair.adjust_a = [&](Machine& machine) { machine.vcpus = &rigid; };
  pair.prepare(pair.settings);
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_NE(pair.source->stats().error_desc.find("no vCPUs that can be held back"),
            std::string::npos)
      << pair.source->stats().error_desc;
}

}  // namespace
}  // namespace tern
