// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/harvester.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "tern/log.h"

namespace tern {
namespace {

constexpr uint64_t kPages = 256;

class Memory {
 public:
  Memory()
      : at_(::mmap(nullptr, kPages * kTargetPageBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) std::abort();
    blocks_.push_back({.idstr = "m",
                       .host = static_cast<std::byte*>(at_),
                       .used_bytes = kPages * kTargetPageBytes});
  }
  ~Memory() { ::munmap(at_, kPages * kTargetPageBytes); }
  const std::vector<RamBlock>& blocks() const { return blocks_; }
  std::atomic_ref<uint64_t> cell(uint64_t page) {
    return std::atomic_ref<uint64_t>(
        *reinterpret_cast<uint64_t*>(blocks_[0].host + page * kTargetPageBytes));
  }

 private:
  void* at_;
  std::vector<RamBlock> blocks_;
};

/// A tracker as an embedder may write one, that can be told to fail.
class ScriptedTracker final : public DirtyTracker {
 public:
  explicit ScriptedTracker(bool service = false) : service_(service) {}
  std::string_view name() const noexcept override { return "scripted"; }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override {
    if (fail_start) return Error(ErrorCode::unsupported, "no start");
    ++starts;
    return fed_->start(blocks);
  }
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override {
    if (fail_harvest) return Error(ErrorCode::internal, "no harvest");
    return fed_->harvest(into);
  }
  Result<void> stop() noexcept override {
    ++stops;
    return fed_->stop();
  }
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    fed_->mark(block, offset, bytes);
  }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override { return {first_vcpu, 7}; }
  bool needs_service() const noexcept override { return service_; }
  Result<void> run_service(std::stop_token stop) noexcept override {
    std::unique_lock lock(mutex_);
    ++services;
    changed_.notify_all();
    changed_.wait(lock, stop, [this] { return fail_service_; });
    if (fail_service_) return Error(ErrorCode::internal, "no service");
    return {};
  }
  void fail_service() {
    const std::lock_guard lock(mutex_);
    fail_service_ = true;
    changed_.notify_all();
  }

  std::atomic<int> starts = 0;
  std::atomic<int> stops = 0;
  std::atomic<int> services = 0;
  std::atomic<bool> fail_start = false;
  std::atomic<bool> fail_harvest = false;
  std::atomic<uint64_t> first_vcpu = 0;

 private:
  const bool service_;
  std::unique_ptr<DirtyTracker> fed_ = make_fed_tracker();
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool fail_service_ = false;
};

std::vector<uint64_t> pages_of(const DirtyBitmap& map) {
  std::vector<uint64_t> pages;
  for (uint64_t page = 0; page < kPages; ++page) {
    if (map.block(0).test(page)) pages.push_back(page);
  }
  return pages;
}

std::vector<uint64_t> harvested(DirtyConsumer& view, const Memory& memory) {
  DirtyBitmap map(memory.blocks());
  const auto got = view.harvest(map);
  EXPECT_TRUE(got) << got.error().message();
  return pages_of(map);
}

using Pages = std::vector<uint64_t>;

TEST(Harvester, every_view_gets_every_page) {
  Memory memory;
  ScriptedTracker tracker;
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto one = harvester->consumer();
  const auto two = harvester->consumer();
  EXPECT_EQ(one->name(), "scripted");
  ASSERT_TRUE(one->start(memory.blocks()));
  ASSERT_TRUE(two->start(memory.blocks()));
  tracker.mark(0, 3 * kTargetPageBytes, 1);
  EXPECT_EQ(harvested(*one, memory), Pages{3});
  two->mark(0, 70 * kTargetPageBytes, 1);
  EXPECT_EQ(harvested(*one, memory), Pages{70});
  EXPECT_EQ(harvested(*two, memory), (Pages{3, 70}));
  EXPECT_EQ(harvested(*two, memory), Pages{});
  EXPECT_EQ(one->block_dirty_pages(), Pages{2});
  EXPECT_EQ(two->block_dirty_pages(), Pages{2});
}

TEST(Harvester, a_late_view_gets_only_what_came_after_its_start) {
  Memory memory;
  ScriptedTracker tracker;
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto early = harvester->consumer();
  const auto late = harvester->consumer();
  ASSERT_TRUE(early->start(memory.blocks()));
  tracker.mark(0, 5 * kTargetPageBytes, 1);
  tracker.first_vcpu = 100;
  ASSERT_TRUE(late->start(memory.blocks()));
  tracker.mark(0, 6 * kTargetPageBytes, 1);
  tracker.first_vcpu = 140;
  EXPECT_EQ(harvested(*late, memory), Pages{6});
  EXPECT_EQ(harvested(*early, memory), (Pages{5, 6}));
  EXPECT_EQ(late->vcpu_dirty_pages(), (Pages{40, 0}));
  EXPECT_EQ(early->vcpu_dirty_pages(), (Pages{140, 0}));
  EXPECT_EQ(late->block_dirty_pages(), Pages{1});
}

TEST(Harvester, the_first_start_and_the_last_stop_are_the_trackers) {
  Memory memory;
  ScriptedTracker tracker(true);
  const auto harvester = DirtyHarvester::create(tracker, null_log(), "x-");
  auto one = harvester->consumer();
  const auto two = harvester->consumer();
  EXPECT_TRUE(one->stop());
  EXPECT_EQ(tracker.stops, 0);
  ASSERT_TRUE(one->start(memory.blocks()));
  ASSERT_TRUE(two->start(memory.blocks()));
  const auto again = one->start(memory.blocks());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::failed_precondition);
  one.reset();
  EXPECT_EQ(tracker.stops, 0);
  EXPECT_EQ(harvested(*two, memory), Pages{});
  ASSERT_TRUE(two->stop());
  EXPECT_EQ(tracker.starts, 1);
  EXPECT_EQ(tracker.stops, 1);
  EXPECT_TRUE(harvester->threads().empty());
  EXPECT_TRUE(two->vcpu_dirty_pages().empty());
  DirtyBitmap map(memory.blocks());
  EXPECT_FALSE(two->harvest(map));
  ASSERT_TRUE(two->start(memory.blocks()));
  EXPECT_EQ(tracker.starts, 2);
}

TEST(Harvester, other_blocks_are_refused) {
  Memory memory;
  Memory other;
  ScriptedTracker tracker;
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto one = harvester->consumer();
  const auto two = harvester->consumer();
  ASSERT_TRUE(one->start(memory.blocks()));
  const auto started = two->start(other.blocks());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), ErrorCode::invalid_argument);
  DirtyBitmap none;
  EXPECT_FALSE(one->harvest(none));
}

TEST(Harvester, a_tracker_that_does_not_start_can_be_tried_again) {
  Memory memory;
  ScriptedTracker tracker(true);
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto view = harvester->consumer();
  tracker.fail_start = true;
  const auto started = view->start(memory.blocks());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message(), "no start");
  EXPECT_TRUE(harvester->threads().empty());
  tracker.fail_start = false;
  ASSERT_TRUE(view->start(memory.blocks()));
}

TEST(Harvester, a_failed_service_ends_tracking_and_is_told_to_every_view) {
  Memory memory;
  ScriptedTracker tracker(true);
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto one = harvester->consumer();
  const auto two = harvester->consumer();
  std::atomic<int> told = 0;
  for (DirtyConsumer* view : {one.get(), two.get()}) {
    view->on_failure([&told](const Error& why) {
      EXPECT_EQ(why.message(), "no service");
      ++told;
      told.notify_all();
    });
    ASSERT_TRUE(view->start(memory.blocks()));
  }
  tracker.fail_service();
  told.wait(0);
  told.wait(1);
  EXPECT_EQ(tracker.stops, 1);  // nobody hangs, although nobody has stopped
  for (DirtyConsumer* view : {one.get(), two.get()}) {
    DirtyBitmap map(memory.blocks());
    const auto got = view->harvest(map);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().message(), "no service");
  }
  const auto late = harvester->consumer();
  EXPECT_FALSE(late->start(memory.blocks()));
}

TEST(Harvester, a_failed_harvest_is_returned_to_one_view_and_told_to_the_other) {
  Memory memory;
  ScriptedTracker tracker;
  const auto harvester = DirtyHarvester::create(tracker, null_log());
  const auto one = harvester->consumer();
  const auto two = harvester->consumer();
  std::vector<std::string> told;
  one->on_failure([&](const Error& why) { told.push_back("one: " + why.message()); });
  two->on_failure([&](const Error& why) { told.push_back("two: " + why.message()); });
  ASSERT_TRUE(one->start(memory.blocks()));
  ASSERT_TRUE(two->start(memory.blocks()));
  tracker.fail_harvest = true;
  DirtyBitmap map(memory.blocks());
  EXPECT_FALSE(one->harvest(map));
  EXPECT_EQ(told, std::vector<std::string>{"two: no harvest"});
  tracker.fail_harvest = false;
  EXPECT_FALSE(two->harvest(map));
  EXPECT_TRUE(one->stop());
  EXPECT_TRUE(two->stop());
  EXPECT_TRUE(one->start(memory.blocks()));  // from the beginning
}

// With the kernel's write protection, two writers and two views that start, harvest and stop while
// the others go on: what a view was told to copy is what memory holds in the end.
TEST(Harvester, two_views_at_once_lose_nothing) {
  auto tracker = make_write_protect_tracker(WriteProtectMode::sync, null_log());
  if (!tracker) GTEST_SKIP() << tracker.error().message();
  Memory memory;
  const auto harvester = DirtyHarvester::create(**tracker, null_log());
  std::atomic<bool> end = false;
  std::atomic<uint64_t> writes = 0;
  std::vector<std::thread> writers;
  for (uint64_t w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      for (uint64_t i = w; !end; i += 7) {
        memory.cell(i % kPages).fetch_add(1);
        ++writes;
      }
    });
  }
  std::atomic<int> ready = 0;
  const auto follow = [&](int cycles) {
    for (int cycle = 0; cycle < cycles; ++cycle) {
      const auto view = harvester->consumer();
      ASSERT_TRUE(view->start(memory.blocks()));
      std::vector<uint64_t> copy(kPages);
      for (uint64_t page = 0; page < kPages; ++page) copy[page] = memory.cell(page).load();
      const auto update = [&] {
        for (const uint64_t page : harvested(*view, memory)) copy[page] = memory.cell(page).load();
      };
      for (int i = 0; i < 20; ++i) update();
      if (cycle + 1 < cycles) continue;
      ++ready;
      while (!end) update();
      while (ready < 4) std::this_thread::yield();
      update();
      for (uint64_t page = 0; page < kPages; ++page)
        EXPECT_EQ(copy[page], memory.cell(page).load());
    }
  };
  std::thread one(follow, 3);
  std::thread two(follow, 5);
  while (ready < 2 || writes < 20000) std::this_thread::yield();
  end = true;
  for (auto& writer : writers) writer.join();
  ready = 4;
  one.join();
  two.join();
}

}  // namespace
}  // namespace tern
