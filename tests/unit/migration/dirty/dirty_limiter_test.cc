// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/dirty_limiter.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tern {
namespace {

/// A tracker that counts what two vCPUs say that they wrote.
class CountingTracker final : public DirtyTracker {
 public:
  std::string_view name() const noexcept override { return "counting"; }
  Result<void> start(std::span<const RamBlock>) noexcept override { return {}; }
  Result<uint64_t> harvest(DirtyBitmap&) noexcept override {
    if (broken) return Error(ErrorCode::device, "told to break");
    return 0;
  }
  Result<void> stop() noexcept override { return {}; }
  void mark(size_t, uint64_t, uint64_t) noexcept override {}
  bool counts_vcpus() const noexcept override { return !blind; }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override {
    if (blind) return {};
    return {pages[0], pages[1]};
  }

  std::array<std::atomic<uint64_t>, 2> pages{};
  std::atomic<bool> blind{false};
  std::atomic<bool> broken{false};
};

/// Two vCPUs that write whenever they are not held.
class Guest final : public VcpuControl {
 public:
  explicit Guest(CountingTracker& tracker) : tracker_(tracker) {
    for (uint32_t i = 0; i < 2; ++i) threads_[i] = std::thread([this, i] { run(i); });
  }
  ~Guest() override {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
      changed_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
  }
  RunState run_state() const noexcept override { return RunState::running; }
  Result<RunState> pause_all(RunState) noexcept override { return RunState::running; }
  Result<void> resume_all() noexcept override { return {}; }
  void set_stopped_state(RunState) noexcept override {}
  uint32_t vcpu_count() const noexcept override { return 2; }
  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override {
    const std::lock_guard lock(mutex_);
    until_[vcpu] = std::chrono::steady_clock::now() + time;
    ever_held_[vcpu] = ever_held_[vcpu] || time.count() > 0;
    changed_.notify_all();
  }
  bool held(uint32_t vcpu) {
    const std::lock_guard lock(mutex_);
    return std::chrono::steady_clock::now() < until_[vcpu];
  }
  bool ever_held(uint32_t vcpu) {
    const std::lock_guard lock(mutex_);
    return ever_held_[vcpu];
  }

 private:
  /// So much at a time that a limit of 1 MiB/s is passed however seldom a thread gets to run.
  void run(uint32_t vcpu) {
    std::unique_lock lock(mutex_);
    while (!quit_) {
      while (!quit_ && std::chrono::steady_clock::now() < until_[vcpu]) {
        changed_.wait_until(lock, until_[vcpu]);
      }
      tracker_.pages[vcpu] += 1000;
      changed_.wait_for(lock, std::chrono::microseconds(100));
    }
  }

  CountingTracker& tracker_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool quit_ = false;
  std::array<std::chrono::steady_clock::time_point, 2> until_{};
  std::array<bool, 2> ever_held_{};
  std::array<std::thread, 2> threads_;
};

struct DirtyLimiterTest : testing::Test {
  alignas(4096) std::array<std::byte, 4096> memory{};
  std::vector<RamBlock> ram{{.idstr = "m", .host = memory.data(), .used_bytes = 4096}};
  CountingTracker tracker;
  Guest guest{tracker};
  std::unique_ptr<DirtyHarvester> harvester = DirtyHarvester::create(tracker, null_log());
  std::unique_ptr<DirtyLimit> limit = *DirtyLimit::create({harvester.get(), &guest, ram});
};

TEST_F(DirtyLimiterTest, a_vcpu_with_a_limit_is_held_and_goes_on_and_the_other_is_left_alone) {
  ASSERT_TRUE(limit->set(1, 1));
  while (!guest.held(1)) std::this_thread::yield();
  const uint64_t wrote = tracker.pages[1];
  while (tracker.pages[1] == wrote) std::this_thread::yield();
  EXPECT_FALSE(guest.ever_held(0));
  const auto known = limit->query();
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(known[0].vcpu, 1u);
  EXPECT_EQ(known[0].limit_rate, 1u);
  ASSERT_EQ(limit->threads().size(), 1u);
  EXPECT_EQ(limit->threads()[0].name, "mig/dirty-limit");
}

TEST_F(DirtyLimiterTest, figures_come_with_the_first_period) {
  ASSERT_TRUE(limit->begin_migration());
  ASSERT_TRUE(limit->limit_all(1, 50));
  // What they are is DirtyLimits' to say; that they come, and go with the limits, is seen here.
  while (limit->figures().held_percent == 0) std::this_thread::yield();
  limit->end_migration();
  EXPECT_EQ(limit->figures().held_percent, 0u);
}

TEST_F(DirtyLimiterTest, without_limits_nobody_is_held_and_nothing_runs) {
  ASSERT_TRUE(limit->set(std::nullopt, 1));
  EXPECT_EQ(limit->query().size(), 2u);
  ASSERT_TRUE(limit->cancel(0));
  EXPECT_EQ(limit->query().size(), 1u);
  while (limit->threads().empty()) std::this_thread::yield();
  ASSERT_TRUE(limit->set(1, 0)) << "the same as cancel";
  EXPECT_TRUE(limit->query().empty());
  EXPECT_TRUE(limit->threads().empty());
  EXPECT_FALSE(guest.held(0) || guest.held(1));
  ASSERT_TRUE(limit->cancel(std::nullopt)) << "twice is no error";
  ASSERT_TRUE(limit->set(0, 5)) << "and it begins again";
}

TEST_F(DirtyLimiterTest, its_end_lets_everybody_go) {
  ASSERT_TRUE(limit->set(std::nullopt, 1));
  while (!guest.held(0)) std::this_thread::yield();
  limit.reset();
  EXPECT_FALSE(guest.held(0) || guest.held(1));
}

TEST_F(DirtyLimiterTest, while_a_migration_sets_the_limits_nobody_else_does) {
  ASSERT_TRUE(limit->set(0, 7));
  ASSERT_TRUE(limit->begin_migration());
  EXPECT_EQ(limit->set(0, 5).error().message(), "a migration sets the dirty limits now");
  EXPECT_EQ(limit->cancel(std::nullopt).error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(limit->begin_migration().error().code(), ErrorCode::failed_precondition);
  ASSERT_TRUE(limit->limit_all(3, 1000));
  EXPECT_EQ(limit->query().at(1).limit_rate, 3u);
  limit->end_migration();
  ASSERT_EQ(limit->query().size(), 1u) << "what was set before it";
  EXPECT_EQ(limit->query()[0].vcpu, 0u);
  EXPECT_EQ(limit->query()[0].limit_rate, 7u);
  limit->end_migration();
  EXPECT_TRUE(limit->set(0, 5));
}

TEST_F(DirtyLimiterTest, what_cannot_be_is_refused) {
  EXPECT_NE(limit->set(2, 5).error().message().find("vCPUs 0..1"), std::string::npos);
  EXPECT_TRUE(limit->threads().empty());
  tracker.blind = true;
  const Result<void> set = limit->set(2, 5);
  EXPECT_EQ(set.error().code(), ErrorCode::unsupported) << "that first";
  EXPECT_NE(set.error().message().find("this machine has counting"), std::string::npos);
  EXPECT_EQ(limit->begin_migration().error().code(), ErrorCode::unsupported);
  EXPECT_FALSE(DirtyLimit::create({nullptr, &guest, ram}));
}

TEST_F(DirtyLimiterTest, when_tracking_fails_everybody_goes_on) {
  ASSERT_TRUE(limit->begin_migration());
  ASSERT_TRUE(limit->limit_all(1, 20));
  while (limit->threads().empty()) std::this_thread::yield();
  tracker.broken = true;
  while (!limit->threads().empty()) std::this_thread::yield();
  EXPECT_TRUE(limit->query().empty());
  EXPECT_FALSE(guest.held(0) || guest.held(1));
  limit->end_migration();
}

}  // namespace
}  // namespace tern
