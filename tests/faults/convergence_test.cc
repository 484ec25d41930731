// SPDX-License-Identifier: Apache-2.0
//
// A guest that dirties faster than the link carries: what holds it back, by how much, until when,
// and that every end of the migration gives it its time back. The clock runs fast, the vCPU's does
// not.
#include <gtest/gtest.h>

#include <mutex>
#include <optional>
#include <vector>

#include "tests/doubles/manual_clock.h"
#include "tests/doubles/pair.h"

namespace tern {
namespace {

using test::FastClock;
using test::Pair;

constexpr uint64_t kLink = 400'000;  // bytes/s, and of the fast clock's seconds

/// Says at every harvest that everything was written: no scheduler has a say in what is dirty.
class AllDirty final : public DirtyTracker {
 public:
  std::string_view name() const noexcept override { return "all"; }
  Result<void> start(std::span<const RamBlock>) noexcept override { return {}; }
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override {
    uint64_t fresh = 0;
    for (size_t b = 0; b < into.blocks(); ++b) {
      fresh += into.block(b).set_run({0, into.block(b).pages()});
    }
    return fresh;
  }
  Result<void> stop() noexcept override { return {}; }
  void mark(size_t, uint64_t, uint64_t) noexcept override {}
};

struct Fast {
  FastClock fast{40};  // before Pair, whose migrations look at these until they are gone
  AllDirty all;
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
  while (without.source->stats().dirty_sync_count < 4) std::this_thread::yield();
  EXPECT_TRUE(without.source->stats().throttle.course.empty());
  EXPECT_EQ(without.a.holds(), 0u);
}

TEST(Effect, throttle_trigger_threshold) {
  // What was sent is dirty again, and never more than what was sent, with its headers.
  BusyPair lenient;
  lenient.adjust_a = [&](Machine& machine) {
    machine.clock = &lenient.fast;
    machine.tracker = &lenient.all;
  };
  lenient.settings.throttle_trigger_threshold = 100;
  lenient.run();
  const uint64_t sent = lenient.source->stats().normal;
  while (lenient.source->stats().normal < sent + 200) std::this_thread::yield();
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

/// Notes what a migration asks for.
struct NotedLimit final : DirtyLimit {
  struct Asked {
    uint64_t mib;
    uint32_t period;
  };
  mutable std::mutex mutex;
  std::vector<Asked> asked;
  bool ended = false;
  Result<void> available() const noexcept override { return {}; }
  Result<void> set(std::optional<uint32_t>, uint64_t) noexcept override { return {}; }
  Result<void> cancel(std::optional<uint32_t>) noexcept override { return {}; }
  std::vector<VcpuDirtyLimit> query() const noexcept override { return {}; }
  DirtyLimitFigures figures() const noexcept override { return {1000, 500, 50}; }
  std::vector<ThreadInfo> threads() const noexcept override { return {}; }
  Result<void> begin_migration() noexcept override { return {}; }
  Result<void> limit_all(uint64_t mib, uint32_t period) noexcept override {
    const std::lock_guard lock(mutex);
    asked.push_back({mib, period});
    return {};
  }
  void end_migration() noexcept override {
    const std::lock_guard lock(mutex);
    ended = true;
  }
  Asked wait_asked(size_t count) const {
    for (;;) {
      {
        const std::lock_guard lock(mutex);
        if (asked.size() >= count) return asked[count - 1];
      }
      std::this_thread::yield();
    }
  }
};

/// A pair whose migration limits vCPUs through a NotedLimit.
struct NotedPair {
  NotedLimit limit;
  BusyPair pair;
  NotedPair() {
    pair.adjust_a = [this](Machine& machine) {
      machine.clock = &pair.fast;
      machine.dirty_limit = &limit;
    };
    pair.settings.auto_converge = false;
    pair.settings.dirty_limit = true;
  }
};

TEST(Effect, dirty_limit) {
  NotedPair with;
  with.pair.run();
  with.limit.wait_asked(1);
  while (!with.pair.source->stats().throttle.dirty_limit) std::this_thread::yield();
  EXPECT_EQ(with.pair.source->stats().throttle.dirty_limit->ring_full_time, 1000u);
  EXPECT_EQ(with.pair.source->stats().throttle.percent, 50u);
  EXPECT_TRUE(with.pair.source->cancel());
  with.pair.source->wait();
  EXPECT_TRUE(with.limit.ended);
  EXPECT_FALSE(with.pair.source->stats().throttle.dirty_limit);
  EXPECT_EQ(with.pair.source->stats().throttle.percent, 0u);
  NotedPair without;
  without.pair.settings.dirty_limit = false;
  without.pair.run();
  while (without.pair.source->stats().dirty_sync_count < 4) std::this_thread::yield();
  EXPECT_TRUE(without.limit.asked.empty());
}

TEST(Effect, vcpu_dirty_limit) {
  NotedPair noted;
  noted.pair.settings.vcpu_dirty_limit = 17;
  noted.pair.run();
  EXPECT_EQ(noted.limit.wait_asked(1).mib, 17u);
  noted.pair.settings.vcpu_dirty_limit = 3;  // live
  noted.pair.source->update(noted.pair.settings);
  EXPECT_EQ(noted.limit.wait_asked(2).mib, 3u);
}

TEST(Effect, x_vcpu_dirty_limit_period) {
  NotedPair noted;
  noted.pair.settings.vcpu_dirty_limit_period = 50;
  noted.pair.run();
  EXPECT_EQ(noted.limit.wait_asked(1).period, 50u);
}

TEST(Effect, x_switchover_policy) {
  // With no downtime allowed QEMU 7.2 stops a guest of which it knows nothing dirty, without having
  // looked. tern never does.
  const auto prepared = [](BusyPair& pair, SwitchoverPolicy policy) {
    pair.settings.auto_converge = false;
    pair.settings.max_bandwidth = 0;
    pair.settings.downtime_limit = 0;
    pair.settings.switchover_policy = policy;
    pair.adjust_a = [&pair](Machine& machine) {
      machine.clock = &pair.fast;
      machine.tracker = &pair.all;
    };
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

TEST(Convergence, a_guest_that_is_too_fast_arrives_with_dirty_limit) {
  BusyPair pair;
  pair.a.track_by_faults();
  pair.settings.auto_converge = false;
  pair.settings.dirty_limit = true;
  pair.settings.vcpu_dirty_limit = 1;
  pair.settings.vcpu_dirty_limit_period = 100;
  pair.settings.max_bandwidth = 0;
  pair.settings.avail_switchover_bandwidth = 4'000'000;
  pair.settings.switchover_ack = true;
  pair.prepare(pair.settings);
  pair.destination->hold_switchover();
  pair.start();
  pair.a_events.wait_for("active");
  EXPECT_GE(pair.wait_steps(1).course.at(0).percent, 1u);
  pair.destination->release_switchover();
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
  EXPECT_EQ(pair.b.check(), "");
  expect_let_go(pair);
}

TEST(Convergence, a_tracker_that_does_not_know_who_wrote_is_told) {
  BusyPair pair;
  pair.settings.auto_converge = false;
  pair.settings.dirty_limit = true;
  pair.prepare(pair.settings);
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_NE(pair.source->stats().error_desc.find("tells which vCPU wrote"), std::string::npos)
      << pair.source->stats().error_desc;
  EXPECT_TRUE(pair.a.running());
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
