// SPDX-License-Identifier: Apache-2.0
//
// What surrounds a migrating machine, told by the test what to do: a device that the guest must let
// go of, a device that takes its time to load, a network that counts announcements.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "tern/announce.h"
#include "tern/device_section.h"
#include "tern/unplug.h"

namespace tern::test {

/// The guest holds it until `gone`.
class HeldDevice final : public UnplugDevice {
 public:
  explicit HeldDevice(std::string id = "net0") : id_(std::move(id)) {}
  std::string_view id() const noexcept override { return id_; }
  Result<void> request_unplug() noexcept override {
    if (refuses) return Error(ErrorCode::device, "no hotplug controller");
    return {};
  }
  bool unplugged() const noexcept override { return gone; }
  void plug_back() noexcept override { ++plugged_back; }

  std::atomic<bool> gone{false};
  std::atomic<bool> refuses{false};
  std::atomic<int> plugged_back{0};

 private:
  const std::string id_;
};

/// State of some size, whose load waits while it is held.
class SlowDevice final : public DeviceSection {
 public:
  explicit SlowDevice(size_t bytes) : bytes_(bytes) {}
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& w) noexcept override {
    w.put_buffer("bytes", std::vector<std::byte>(bytes_, std::byte{7}));
    return {};
  }
  Result<void> load(DeviceReader& r, uint32_t) noexcept override {
    (void)TERN_TRY(r.get_buffer("bytes", bytes_));
    reached_ = true;
    reached_.notify_all();
    held_.wait(true);
    return {};
  }
  /// Before the migration begins.
  void hold() { held_ = true; }
  void let_go() {
    held_ = false;
    held_.notify_all();
  }
  void wait_reached() { reached_.wait(false); }

 private:
  const SectionId id_{"slow", 0, 1, 1};
  const size_t bytes_;
  std::atomic<bool> held_{false};
  std::atomic<bool> reached_{false};
};

/// Counts what it was asked to announce.
class CountingNetwork final : public SelfAnnouncer {
 public:
  void announce(std::span<const std::string> interfaces) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      last_.assign(interfaces.begin(), interfaces.end());
    }
    ++count_;
    count_.notify_all();
  }
  int count() const { return count_; }
  void wait_for(int wanted) {
    for (int now = count_; now < wanted; now = count_) count_.wait(now);
  }
  /// The interfaces that the last one named.
  std::vector<std::string> last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::atomic<int> count_{0};
  std::mutex mutex_;
  std::vector<std::string> last_;
};

}  // namespace tern::test
