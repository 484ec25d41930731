// SPDX-License-Identifier: Apache-2.0
//
// TestMachine: a machine for tests of whole migrations in one process: real memory, real threads
// that write it, one device. The guest's pattern lets the memory alone prove that nothing was lost
// or replayed: byte 0 of every page is incremented in order, round after round, so at any stop the
// bytes are v+1 … v+1, v … v.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tern/tern.h"

namespace tern::test {

class TestMachine final : public VcpuControl, public DeviceSection, public LogSink {
 public:
  /// `guest_pages` are written from page 16 on; the rest of the RAM is never touched.
  TestMachine(uint64_t ram_bytes, uint64_t guest_pages, RunState state)
      : guest_pages_(guest_pages), state_(state) {
    void* p = mmap(nullptr, ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    blocks_.push_back({.idstr = "m", .host = static_cast<std::byte*>(p), .used_bytes = ram_bytes});
    auto tracker = make_write_protect_tracker(WriteProtectMode::automatic, *this);
    tracker_ = tracker ? std::move(*tracker) : make_fed_tracker();
    devices_.push_back(this);
    if (state == RunState::running) fill();
    guest_ = std::thread([this] { run_guest(); });
  }
  ~TestMachine() override {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
      changed_.notify_all();
    }
    guest_.join();
    munmap(blocks_[0].host, blocks_[0].used_bytes);
  }

  /// From now on its writes are tracked by faults, which tell that vCPU 0 made them.
  void track_by_faults() {
    auto tracker = make_write_protect_tracker(WriteProtectMode::sync, *this);
    if (!tracker) std::abort();
    tracker_ = std::move(*tracker);
    while (guest_thread_id_.load() == 0) std::this_thread::yield();
    const int id = guest_thread_id_.load();
    tracker_->set_vcpu_threads({&id, 1});
  }

  Machine machine(EventSink* events = nullptr) {
    Machine m;
    m.name = "test";
    m.ram = blocks_;
    m.tracker = tracker_.get();
    m.vcpus = this;
    m.devices = devices_;
    m.events = events;
    m.log = this;
    return m;
  }

  // ---- VcpuControl
  RunState run_state() const noexcept override {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  Result<RunState> pause_all(RunState state) noexcept override {
    std::unique_lock lock(mutex_);
    const RunState before = std::exchange(state_, state);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !writing_; });
    return before;
  }
  Result<void> resume_all() noexcept override {
    if (fail_resume) return Error(ErrorCode::device, "told to fail");
    const std::lock_guard lock(mutex_);
    state_ = RunState::running;
    ++resumes;
    changed_.notify_all();
    return {};
  }
  void set_stopped_state(RunState state) noexcept override {
    const std::lock_guard lock(mutex_);
    state_ = state;
  }

  uint32_t vcpu_count() const noexcept override { return 1; }
  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override {
    if (vcpu != 0) std::abort();
    const std::lock_guard lock(mutex_);
    held_until_ = std::chrono::steady_clock::now() + time;
    if (time.count() > 0) ++holds_;
    changed_.notify_all();
  }
  uint64_t holds() const {
    const std::lock_guard lock(mutex_);
    return holds_;
  }
  /// Whether the last word was that it may run.
  bool held() const {
    const std::lock_guard lock(mutex_);
    return std::chrono::steady_clock::now() < held_until_;
  }

  // ---- DeviceSection: where the guest is
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& w) noexcept override {
    w.put_u64("next_page", next_page_);
    w.put_u64("rounds", rounds_.load());
    return {};
  }
  Result<void> load(DeviceReader& r, uint32_t) noexcept override {
    const uint64_t next = TERN_TRY(r.get_u64("next_page"));
    const uint64_t rounds = TERN_TRY(r.get_u64("rounds"));
    if (next >= guest_pages_) return r.bad_value("next_page", "outside the guest's range");
    next_page_ = next;
    rounds_.store(rounds);
    return {};
  }

  void log(LogLevel level, std::string_view message) noexcept override {
    const std::lock_guard lock(log_mutex_);
    log_ += std::string(to_string(level)) + ": " + std::string(message) + "\n";
  }
  std::string log_text() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  bool running() const { return run_state() == RunState::running; }
  uint64_t rounds() const { return rounds_.load(); }
  std::byte* page(uint64_t n) { return blocks_[0].host + (kFirst + n) * kTargetPageBytes; }
  const RamBlock& block() const { return blocks_[0]; }

  /// With the guest stopped: "" if the memory is what the pattern and the position say.
  std::string inconsistency() {
    for (uint64_t p = 0; p < guest_pages_; ++p) {
      const uint64_t expected = rounds_.load() + (p < next_page_ ? 1 : 0);
      const auto byte = std::to_integer<uint8_t>(page(p)[0]);
      if (byte != static_cast<uint8_t>(expected)) {
        return "page " + std::to_string(p) + " has " + std::to_string(byte) + ", expected " +
               std::to_string(expected & 0xff) + " (position " + std::to_string(next_page_) + ")";
      }
      for (const size_t at : {1u, 100u, 4095u}) {
        if (page(p)[at] != fill_byte(p, at))
          return "fill of page " + std::to_string(p) + " is wrong";
      }
    }
    return {};
  }
  /// Stops the guest, checks, and lets it go on if it ran.
  std::string check() {
    const RunState before = run_state();
    pause_all(before == RunState::running ? RunState::paused : before).ignore("a test double");
    const std::string bad = inconsistency();
    if (before == RunState::running) resume_all().ignore("a test double");
    return bad;
  }
  /// Not for ever: a guest that stands still (a migration that failed) is a failure.
  void wait_rounds(uint64_t n) {
    const uint64_t until = rounds() + n;
    while (rounds() < until && running()) std::this_thread::yield();
    EXPECT_GE(rounds(), until) << "the guest does not run";
  }

  std::atomic<bool> fail_resume{false};
  std::atomic<int> resumes{0};

 private:
  static constexpr uint64_t kFirst = 16;
  static std::byte fill_byte(uint64_t page, size_t at) {
    return static_cast<std::byte>(page * 7 + at * 13 + 1);
  }
  void fill() {
    for (uint64_t p = 0; p < guest_pages_; ++p) {
      for (size_t at = 1; at < kTargetPageBytes; ++at) page(p)[at] = fill_byte(p, at);
    }
  }
  void run_guest() {
    guest_thread_id_.store(::gettid());
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        writing_ = false;
        changed_.notify_all();
        changed_.wait(lock, [this] { return quit_ || state_ == RunState::running; });
        if (quit_) return;
        while (!quit_ && state_ == RunState::running &&
               std::chrono::steady_clock::now() < held_until_) {
          changed_.wait_until(lock, held_until_);
        }
        if (quit_ || state_ != RunState::running) continue;
        writing_ = true;
      }
      for (int i = 0; i < 32; ++i) {
        auto* byte = reinterpret_cast<unsigned char*>(page(next_page_));
        *byte = static_cast<unsigned char>(*byte + 1);
        if (++next_page_ == guest_pages_) {
          next_page_ = 0;
          ++rounds_;
        }
      }
    }
  }

  const uint64_t guest_pages_;
  const SectionId id_{"test/guest", 0, 1, 1};
  std::vector<RamBlock> blocks_;
  std::vector<DeviceSection*> devices_;
  std::unique_ptr<DirtyTracker> tracker_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  RunState state_;
  bool writing_ = false;
  bool quit_ = false;
  std::chrono::steady_clock::time_point held_until_;
  uint64_t holds_ = 0;
  std::atomic<int> guest_thread_id_{0};
  uint64_t next_page_ = 0;
  std::atomic<uint64_t> rounds_{0};
  std::mutex log_mutex_;
  std::string log_;
  std::thread guest_;
};

}  // namespace tern::test
