// SPDX-License-Identifier: Apache-2.0
#include "migration/source/cpu_throttle.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace tern {
namespace {

/// Notes every hold.
class HeldGuest final : public VcpuControl {
 public:
  struct Hold {
    uint32_t vcpu;
    Nanoseconds time;
  };
  RunState run_state() const noexcept override { return RunState::running; }
  Result<RunState> pause_all(RunState) noexcept override { return RunState::running; }
  Result<void> resume_all() noexcept override { return {}; }
  void set_stopped_state(RunState) noexcept override {}
  uint32_t vcpu_count() const noexcept override { return 2; }
  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override {
    const std::lock_guard lock(mutex_);
    holds_.push_back({vcpu, time});
    held_.notify_all();
  }
  /// The next `count` holds from now on.
  std::vector<Hold> next(size_t count) {
    std::unique_lock lock(mutex_);
    const size_t from = holds_.size();
    held_.wait(lock, [&] { return holds_.size() >= from + count; });
    return {holds_.begin() + static_cast<ptrdiff_t>(from), holds_.end()};
  }
  std::vector<Hold> all() {
    const std::lock_guard lock(mutex_);
    return holds_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable held_;
  std::vector<Hold> holds_;
};

struct CpuThrottleTest : testing::Test {
  HeldGuest guest;
  ThreadList threads;
  Progress progress{system_clock()};
  CpuThrottle throttle{guest, threads, "", progress};
};

TEST_F(CpuThrottleTest, holds_every_vcpu_again_and_again_until_it_is_released) {
  ASSERT_TRUE(throttle.set(50));
  guest.next(8);
  for (const auto& hold : guest.all()) EXPECT_EQ(hold.time, Milliseconds(10));
  ASSERT_EQ(threads.list().size(), 1u);
  EXPECT_EQ(threads.list()[0].name, "mig/src/throttl");
  throttle.release();
  EXPECT_TRUE(threads.list().empty());
  const auto holds = guest.all();
  // The last word to each vCPU is that it may go on.
  EXPECT_EQ(holds.back().time, Nanoseconds(0));
  EXPECT_EQ(holds[holds.size() - 2].time, Nanoseconds(0));
  EXPECT_NE(holds.back().vcpu, holds[holds.size() - 2].vcpu);
}

TEST_F(CpuThrottleTest, a_new_percentage_takes_the_place_of_the_old_one) {
  ASSERT_TRUE(throttle.set(20));
  guest.next(2);
  ASSERT_TRUE(throttle.set(80));
  EXPECT_EQ(throttle.percent(), 80u);
  EXPECT_EQ(guest.next(6).back().time, Milliseconds(40));
  EXPECT_EQ(threads.list().size(), 1u) << "one thread, whatever the number of changes";
}

TEST_F(CpuThrottleTest, what_was_done_stands_in_the_statistics) {
  ASSERT_TRUE(throttle.set(20));
  ASSERT_TRUE(throttle.set(30));
  guest.next(4);
  EXPECT_EQ(progress.snapshot().throttle.percent, 30u);
  EXPECT_GT(progress.snapshot().throttle.percent_ms, 0u) << "also what goes on";
  throttle.release();
  const ThrottleStats stats = progress.snapshot().throttle;
  EXPECT_EQ(stats.percent, 0u);
  EXPECT_EQ(stats.highest_percent, 30u);
  ASSERT_EQ(stats.course.size(), 3u);
  EXPECT_EQ(stats.course[1].percent, 30u);
  EXPECT_EQ(stats.course[2].percent, 0u);
  EXPECT_EQ(progress.snapshot().throttle.percent_ms, stats.percent_ms) << "it stands still now";
}

TEST_F(CpuThrottleTest, its_end_lets_the_guest_go) {
  {
    CpuThrottle other(guest, threads, "", progress);
    ASSERT_TRUE(other.set(99));
    guest.next(2);
  }
  EXPECT_EQ(guest.all().back().time, Nanoseconds(0));
  EXPECT_TRUE(threads.list().empty());
}

TEST_F(CpuThrottleTest, nothing_happens_without_a_percentage) {
  throttle.release();
  EXPECT_TRUE(guest.all().empty());
  EXPECT_EQ(throttle.percent(), 0u);
}

}  // namespace
}  // namespace tern
