// SPDX-License-Identifier: Apache-2.0
//
// The interfaces that an embedder implements, on top of its callback tables. What a callback
// answers is checked here; nothing here decides anything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tern/c/machine.h"
#include "tern/tern.h"

namespace tern::capi {

/// A copied callback table. Once adopted it owns `user`: until then the caller still does, so that
/// a function that fails leaves everything with its caller.
template <typename Table>
class Callbacks {
 public:
  explicit Callbacks(const Table& table) noexcept : table_(table) {}
  ~Callbacks() {
    if (adopted_ && table_.destroy != nullptr) table_.destroy(table_.user);
  }
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;

  void adopt() noexcept { adopted_ = true; }
  const Table* operator->() const noexcept { return &table_; }
  void* user() const noexcept { return table_.user; }

 private:
  Table table_;
  bool adopted_ = false;
};

class LogAdapter final : public LogSink {
 public:
  static Result<std::unique_ptr<LogAdapter>> create(const tern_log_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  void log(LogLevel level, std::string_view message) noexcept override;

 private:
  explicit LogAdapter(const tern_log_callbacks& table) noexcept : calls_(table) {}
  Callbacks<tern_log_callbacks> calls_;
};

class ClockAdapter final : public Clock {
 public:
  static Result<std::unique_ptr<ClockAdapter>> create(const tern_clock_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  Nanoseconds now() const noexcept override { return Nanoseconds(calls_->now(calls_.user())); }
  Nanoseconds wall() const noexcept override { return Nanoseconds(calls_->wall(calls_.user())); }

 private:
  explicit ClockAdapter(const tern_clock_callbacks& table) noexcept : calls_(table) {}
  Callbacks<tern_clock_callbacks> calls_;
};

class EventAdapter final : public EventSink {
 public:
  static Result<std::unique_ptr<EventAdapter>> create(const tern_event_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  void on_event(const Event& event) noexcept override;

 private:
  explicit EventAdapter(const tern_event_callbacks& table) noexcept : calls_(table) {}
  Callbacks<tern_event_callbacks> calls_;
};

class VcpuAdapter final : public VcpuControl {
 public:
  static Result<std::unique_ptr<VcpuAdapter>> create(const tern_vcpu_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  /// A number that is none is told as internal-error: it is not running.
  RunState run_state() const noexcept override;
  /// A callback that does not say what the guest did before has failed: the guest gets back what
  /// run_state said.
  Result<RunState> pause_all(RunState state) noexcept override;
  Result<void> resume_all() noexcept override;
  void set_stopped_state(RunState state) noexcept override;
  uint32_t vcpu_count() const noexcept override;
  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override;

 private:
  explicit VcpuAdapter(const tern_vcpu_callbacks& table) noexcept : calls_(table) {}
  Callbacks<tern_vcpu_callbacks> calls_;
};

class AnnouncerAdapter final : public SelfAnnouncer {
 public:
  static Result<std::unique_ptr<AnnouncerAdapter>> create(
      const tern_announcer_callbacks* given) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  void announce(std::span<const std::string> interfaces) noexcept override;

 private:
  explicit AnnouncerAdapter(const tern_announcer_callbacks& table) noexcept : calls_(table) {}
  Callbacks<tern_announcer_callbacks> calls_;
};

class UnplugAdapter final : public UnplugDevice {
 public:
  /// `table` was read by read_array.
  static Result<std::unique_ptr<UnplugAdapter>> create(const tern_unplug_device& table) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  std::string_view id() const noexcept override { return id_; }
  Result<void> request_unplug() noexcept override;
  bool unplugged() const noexcept override { return calls_->unplugged(calls_.user()) != 0; }
  void plug_back() noexcept override { calls_->plug_back(calls_.user()); }

 private:
  explicit UnplugAdapter(const tern_unplug_device& table) noexcept : calls_(table), id_(table.id) {}
  Callbacks<tern_unplug_device> calls_;
  std::string id_;
};

class DeviceAdapter final : public DeviceSection {
 public:
  /// `table` was read by read_array.
  static Result<std::unique_ptr<DeviceAdapter>> create(const tern_device_section& table) noexcept;
  void adopt() noexcept { calls_.adopt(); }
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override;
  Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept override;

 private:
  DeviceAdapter(const tern_device_section& table, SectionId id) noexcept
      : calls_(table), id_(std::move(id)) {}
  Callbacks<tern_device_section> calls_;
  SectionId id_;
};

}  // namespace tern::capi
