// SPDX-License-Identifier: Apache-2.0
//
// Over memory whose writes are known and a tracker that is told of them; the accuracy against
// guests is in docs/dirty-tracking.md.
#include "migration/dirty/dirty_rate.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>

#include "tests/doubles/manual_clock.h"

namespace tern {
namespace {

using Status = DirtyRateReport::Status;

constexpr uint64_t kPages = 4096;  // 16 MiB
constexpr Milliseconds kShort{50};

/// Marks are what the tracker knows; vCPU 1 wrote all of them.
class CountingTracker final : public DirtyTracker {
 public:
  explicit CountingTracker(bool by_vcpu, std::string_view name) : by_vcpu_(by_vcpu), name_(name) {}
  std::string_view name() const noexcept override { return name_; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override {
    if (fail) return Error(ErrorCode::unsupported, "told to fail");
    auto started = fed_->start(blocks);
    running = true;
    running.notify_all();
    return started;
  }
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override {
    auto added = fed_->harvest(into);
    ++harvests;
    harvests.notify_all();
    return added;
  }
  Result<void> stop() noexcept override {
    running = false;
    stuck.wait(true);
    return fed_->stop();
  }
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    fed_->mark(block, offset, bytes);
    written += bytes / kTargetPageBytes;
  }
  bool counts_vcpus() const noexcept override { return by_vcpu_; }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override {
    return by_vcpu_ ? std::vector<uint64_t>{0, written} : std::vector<uint64_t>{};
  }
  std::atomic<bool> running = false;
  std::atomic<bool> fail = false;
  std::atomic<bool> stuck = false;  // stop does not come back
  std::atomic<int> harvests = 0;
  std::atomic<uint64_t> written = 0;

 private:
  const bool by_vcpu_;
  const std::string_view name_;
  std::unique_ptr<DirtyTracker> fed_ = make_fed_tracker();
};

class DirtyRateTest : public testing::Test {
 protected:
  DirtyRateTest() {
    for (const uint64_t pages : {kPages, uint64_t{16}}) {
      void* at = ::mmap(nullptr, pages * kTargetPageBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      blocks_.push_back({.idstr = "b" + std::to_string(pages),
                         .host = static_cast<std::byte*>(at),
                         .used_bytes = pages * kTargetPageBytes});
    }
    machine_.ram = blocks_;
  }
  ~DirtyRateTest() override {
    meter_.reset();
    for (const RamBlock& block : blocks_) ::munmap(block.host, block.used_bytes);
  }
  /// It outlives the meter, which may still be switching it off when the result is out.
  CountingTracker& make_tracker(bool by_vcpu, std::string_view name) {
    tracker_ = std::make_unique<CountingTracker>(by_vcpu, name);
    return *tracker_;
  }
  void create() {
    auto made = DirtyRateMeter::create(machine_);
    ASSERT_TRUE(made) << made.error().message();
    meter_ = std::move(*made);
  }
  void start(DirtyRateMode mode, Milliseconds window = kShort, uint64_t samples = 16384) {
    const auto started = meter_->start({window, mode, samples});
    ASSERT_TRUE(started) << started.error().message();
  }
  void write_as_a_guest(size_t block, uint64_t pages) {
    for (uint64_t i = 0; i < pages; ++i) {
      auto* cell = reinterpret_cast<uint64_t*>(blocks_[block].host + i * kTargetPageBytes);
      std::atomic_ref<uint64_t>(*cell).fetch_add(1);
    }
  }
  std::unique_ptr<CountingTracker> tracker_;
  std::vector<RamBlock> blocks_;
  Machine machine_;
  std::unique_ptr<DirtyRateMeter> meter_;
};

/// Pages that a report says were written.
double pages_of(const DirtyRateReport& report, double bytes_per_s) {
  return bytes_per_s * std::chrono::duration<double>(report.window).count() / kTargetPageBytes;
}

TEST_F(DirtyRateTest, begins_unstarted_and_is_measuring_when_start_returns) {
  create();
  EXPECT_EQ(meter_->report().status, Status::unstarted);
  EXPECT_EQ(meter_->report().samples_per_gib, 0u);
  start(DirtyRateMode::page_sampling, Milliseconds(60000), 300);
  const DirtyRateReport now = meter_->report();
  EXPECT_EQ(now.status, Status::measuring);
  EXPECT_EQ(now.samples_per_gib, 300u);
  EXPECT_EQ(now.window, Milliseconds(60000));
  EXPECT_GT(now.start, Nanoseconds(0));
  const auto again = meter_->start({});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::failed_precondition);
  meter_.reset();  // does not wait for a minute
}

TEST_F(DirtyRateTest, wrong_requests_change_nothing) {
  create();
  EXPECT_FALSE(meter_->start({Milliseconds(49), DirtyRateMode::page_sampling, 512}));
  EXPECT_FALSE(meter_->start({Milliseconds(60001), DirtyRateMode::page_sampling, 512}));
  EXPECT_FALSE(meter_->start({kShort, DirtyRateMode::page_sampling, 127}));
  EXPECT_FALSE(meter_->start({kShort, DirtyRateMode::page_sampling, 16385}));
  const auto none = meter_->start({kShort, DirtyRateMode::dirty_bitmap, 512});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "mode dirty-bitmap: this machine has no dirty tracker");
  EXPECT_EQ(meter_->report().status, Status::unstarted);
}

TEST_F(DirtyRateTest, samples_tell_how_much_of_memory_changed) {
  write_as_a_guest(0, kPages / 2);
  create();
  start(DirtyRateMode::page_sampling, Milliseconds(300));
  while (meter_->report().status == Status::measuring) write_as_a_guest(0, kPages / 4);
  const DirtyRateReport report = meter_->report();
  ASSERT_EQ(report.status, Status::measured);
  ASSERT_TRUE(report.bytes_per_s) << report.error;
  EXPECT_LE(report.low, *report.bytes_per_s);
  EXPECT_GE(report.high, *report.bytes_per_s);
  const double changed = pages_of(report, *report.bytes_per_s);
  EXPECT_GT(changed, kPages / 4 * 0.7);
  EXPECT_LT(changed, kPages / 4 * 1.3);
}

TEST_F(DirtyRateTest, sampling_does_not_touch_what_the_guest_never_touched) {
  create();
  start(DirtyRateMode::page_sampling);
  meter_->wait();
  EXPECT_EQ(meter_->report().bytes_per_s, 0.0);
  std::vector<unsigned char> there(kPages);
  ASSERT_EQ(::mincore(blocks_[0].host, blocks_[0].used_bytes, there.data()), 0);
  EXPECT_EQ(std::count(there.begin(), there.end(), 1), 0);
}

TEST_F(DirtyRateTest, nothing_to_sample_is_no_rate) {
  machine_.ram = std::span(blocks_).subspan(1);  // 64 KiB
  create();
  start(DirtyRateMode::page_sampling);
  meter_->wait();
  EXPECT_EQ(meter_->report().status, Status::measured);
  EXPECT_FALSE(meter_->report().bytes_per_s);
  EXPECT_EQ(meter_->report().error, "");
}

TEST_F(DirtyRateTest, the_bitmap_counts_each_page_once_and_by_block) {
  CountingTracker& tracker = make_tracker(false, "fed");
  machine_.tracker = &tracker;
  create();
  start(DirtyRateMode::dirty_bitmap);
  tracker.harvests.wait(0);
  for (int i = 0; i < 3; ++i) {
    tracker.mark(0, 0, 100 * kTargetPageBytes);
    tracker.mark(1, 0, 5 * kTargetPageBytes);
  }
  meter_->wait();
  const DirtyRateReport report = meter_->report();
  ASSERT_TRUE(report.bytes_per_s) << report.error;
  EXPECT_GE(report.window, kShort);
  ASSERT_EQ(report.block_bytes_per_s.size(), 2u);
  // What came between the start and its first harvest is discarded: at most all of it.
  EXPECT_NEAR(pages_of(report, *report.bytes_per_s), 105, 105);
  EXPECT_NEAR(pages_of(report, report.block_bytes_per_s[1]), 5, 5);
  EXPECT_FALSE(tracker.running);
  EXPECT_FALSE(meter_->start({kShort, DirtyRateMode::dirty_ring, 512}));
}

TEST_F(DirtyRateTest, a_ring_counts_each_write_of_each_vcpu) {
  CountingTracker& tracker = make_tracker(true, "kvm-ring");
  machine_.tracker = &tracker;
  create();
  const auto refused = meter_->start({kShort, DirtyRateMode::dirty_bitmap, 512});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unsupported);
  start(DirtyRateMode::dirty_ring, Milliseconds(100));
  EXPECT_EQ(meter_->report().samples_per_gib, 0u);
  while (meter_->report().status == Status::measuring) {
    tracker.mark(0, 0, 10 * kTargetPageBytes);
    std::this_thread::yield();
  }
  const DirtyRateReport report = meter_->report();
  ASSERT_EQ(report.vcpu_bytes_per_s.size(), 2u) << report.error;
  EXPECT_EQ(report.vcpu_bytes_per_s[0], 0);
  EXPECT_GT(report.vcpu_bytes_per_s[1], 0);
  EXPECT_EQ(report.bytes_per_s, report.vcpu_bytes_per_s[1]);
  EXPECT_LE(pages_of(report, *report.bytes_per_s), static_cast<double>(tracker.written) + 1);
}

TEST_F(DirtyRateTest, the_result_does_not_wait_until_the_tracker_is_off) {
  CountingTracker& tracker = make_tracker(false, "counting");
  machine_.tracker = &tracker;
  create();
  tracker.stuck = true;
  start(DirtyRateMode::dirty_bitmap);
  while (meter_->report().status != Status::measured) std::this_thread::yield();
  EXPECT_EQ(meter_->start({kShort, DirtyRateMode::dirty_bitmap, 0}).error().code(),
            ErrorCode::failed_precondition);
  EXPECT_TRUE(meter_->report().bytes_per_s) << "it is still there";
  tracker.stuck = false;
  tracker.stuck.notify_all();
  meter_->wait();
  start(DirtyRateMode::dirty_bitmap);
  meter_->wait();
}

TEST_F(DirtyRateTest, a_tracker_that_fails_is_told_and_the_next_try_is_free) {
  CountingTracker& tracker = make_tracker(false, "fed");
  tracker.fail = true;
  machine_.tracker = &tracker;
  create();
  start(DirtyRateMode::dirty_bitmap);
  meter_->wait();
  EXPECT_FALSE(meter_->report().bytes_per_s);
  EXPECT_EQ(meter_->report().error, "told to fail");
  tracker.fail = false;
  start(DirtyRateMode::dirty_bitmap);
  meter_->wait();
  EXPECT_EQ(meter_->report().bytes_per_s, 0.0);
  EXPECT_EQ(meter_->report().error, "");
}

TEST_F(DirtyRateTest, it_measures_beside_another_user_of_the_tracker_and_takes_nothing_from_him) {
  CountingTracker& tracker = make_tracker(false, "fed");
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  machine_.harvester = harvester.get();
  test::ManualClock clock;  // the window is over when both have had their turn
  machine_.clock = &clock;
  const auto migration = harvester->consumer();
  ASSERT_TRUE(migration->start(blocks_));
  tracker.mark(0, 0, 7 * kTargetPageBytes);
  create();
  start(DirtyRateMode::dirty_bitmap, Milliseconds(100));
  while (tracker.harvests < 2) std::this_thread::yield();  // its start, and what it discards
  tracker.mark(0, 100 * kTargetPageBytes, 9 * kTargetPageBytes);
  DirtyBitmap sent(blocks_);
  ASSERT_TRUE(migration->harvest(sent));
  EXPECT_EQ(sent.count(), 16u);
  while (meter_->report().status == Status::measuring) {
    clock.advance(Milliseconds(100));  // again: it may not have looked at the clock yet
    std::this_thread::yield();
  }
  meter_->wait();
  const DirtyRateReport report = meter_->report();
  ASSERT_TRUE(report.bytes_per_s) << report.error;
  EXPECT_NEAR(pages_of(report, *report.bytes_per_s), 9, 0.1);
  EXPECT_TRUE(tracker.running);
}

}  // namespace
}  // namespace tern
