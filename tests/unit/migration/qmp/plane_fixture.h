// SPDX-License-Identifier: Apache-2.0
//
// A control plane with everything around it that an embedder and an engine supply: vCPUs that only
// remember, a manual clock, and migrations that do what the test says.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "migration/params/parameters.h"
#include "migration/qmp/control_plane.h"
#include "migration/qmp/json_text.h"

namespace tern::qmp {

class ManualClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return Nanoseconds{now_ns}; }
  Nanoseconds wall() const noexcept override { return Nanoseconds{wall_ns}; }
  std::atomic<int64_t> now_ns{0};
  std::atomic<int64_t> wall_ns{1700000000123456789};
};

class LogRecorder final : public LogSink {
 public:
  void log(LogLevel level, std::string_view message) noexcept override {
    std::lock_guard lock(mutex_);
    lines_.push_back(std::string(to_string(level)) + ": " + std::string(message));
  }
  std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// The VMM's side of VcpuControl: remembers what it was told.
class RecordingVcpus final : public VcpuControl {
 public:
  RunState run_state() const noexcept override {
    std::lock_guard lock(mutex_);
    return state_;
  }
  Result<RunState> pause_all(RunState state) noexcept override {
    if (on_pause) on_pause();
    if (fail_pause) return Error(ErrorCode::device, "the vCPUs do not stop");
    const RunState before = run_state();
    put(state, "pause " + std::string(to_string(state)));
    return before;
  }
  Result<void> resume_all() noexcept override {
    if (on_resume) on_resume();
    if (fail_resume) return Error(ErrorCode::device, "the disk is gone");
    put(RunState::running, "resume");
    return {};
  }
  void set_stopped_state(RunState state) noexcept override {
    put(state, "name " + std::string(to_string(state)));
  }
  std::vector<std::string> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }

  std::function<void()> on_pause;
  std::function<void()> on_resume;
  bool fail_pause = false;
  bool fail_resume = false;

 private:
  void put(RunState state, std::string call) {
    std::lock_guard lock(mutex_);
    state_ = state;
    calls_.push_back(std::move(call));
  }
  mutable std::mutex mutex_;
  RunState state_ = RunState::prelaunch;
  std::vector<std::string> calls_;
};

class RecordingVm final : public QmpVm {
 public:
  std::string name() const noexcept override { return vm_name; }
  void quit() noexcept override { ++quits; }
  void incoming_failed(const Error& error) noexcept override {
    std::lock_guard lock(mutex_);
    failures_.push_back(error.message());
  }
  std::vector<std::string> failures() {
    std::lock_guard lock(mutex_);
    return failures_;
  }
  bool kvm() const noexcept override { return under_kvm; }
  std::string vm_name;
  bool under_kvm = false;
  std::atomic<int> quits{0};

 private:
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

/// What a scripted migration is told to do and what it was asked; outlives the migration.
class EngineScript {
 public:
  StatsSnapshot stats() const {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void set_stats(StatsSnapshot stats) {
    std::lock_guard lock(mutex_);
    stats_ = std::move(stats);
  }
  /// As the engine does: first the statistics, then the event.
  void become(Status status, std::string error = "") {
    EventSink* sink = nullptr;
    {
      std::lock_guard lock(mutex_);
      stats_.status = status;
      stats_.error_desc = std::move(error);
      sink = sink_;
    }
    if (sink != nullptr) sink->on_event(StatusChanged{status});
  }
  void unplug(std::string device) { sink_->on_event(UnplugRequested{std::move(device)}); }
  void pass(uint64_t number) { sink_->on_event(PassStarted{number}); }
  void called(std::string call) {
    std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  std::vector<std::string> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  void attach(const Machine& machine, const Settings& settings) {
    std::lock_guard lock(mutex_);
    stats_ = {};
    sink_ = machine.events;
    vcpus_ = machine.vcpus;
    settings_ = settings;
    ++created_;
  }
  void detach() {
    std::lock_guard lock(mutex_);
    sink_ = nullptr;
    ++destroyed_;
  }
  VcpuControl& vcpus() { return *vcpus_; }
  Settings settings() const {
    std::lock_guard lock(mutex_);
    return settings_;
  }
  void update(const Settings& settings) {
    std::lock_guard lock(mutex_);
    settings_ = settings;
    calls_.push_back("update");
  }
  int created() const { return created_; }
  int destroyed() const { return destroyed_; }

  std::function<Result<void>(const Address&)> on_start;
  std::function<Result<void>()> on_cancel;
  std::vector<Address> listening;

 private:
  mutable std::mutex mutex_;
  StatsSnapshot stats_;
  EventSink* sink_ = nullptr;
  VcpuControl* vcpus_ = nullptr;
  Settings settings_;
  std::vector<std::string> calls_;
  std::atomic<int> created_{0};
  std::atomic<int> destroyed_{0};
};

class ScriptedSource final : public MigrationSource {
 public:
  explicit ScriptedSource(EngineScript& script) : script_(script) {}
  ~ScriptedSource() override { script_.detach(); }
  Result<void> start(const Address& address) noexcept override {
    script_.called("start " + to_uri(address));
    if (script_.on_start) return script_.on_start(address);
    script_.become(Status::setup);
    return {};
  }
  Result<void> continue_from(Status status) noexcept override {
    script_.called("continue " + std::string(to_string(status)));
    return {};
  }
  Result<void> cancel() noexcept override {
    script_.called("cancel");
    if (script_.on_cancel) return script_.on_cancel();
    return {};
  }
  void yank() noexcept override { script_.called("yank"); }
  void update(const Settings& settings) noexcept override { script_.update(settings); }
  std::vector<ThreadInfo> threads() const noexcept override { return {{"mig/src/main", 4711}}; }
  StatsSnapshot stats() const noexcept override { return script_.stats(); }
  void wait() noexcept override {}

 private:
  EngineScript& script_;
};

class ScriptedDestination final : public MigrationDestination {
 public:
  explicit ScriptedDestination(EngineScript& script) : script_(script) {}
  ~ScriptedDestination() override { script_.detach(); }
  Result<void> listen(const Address& address) noexcept override {
    script_.called("listen " + to_uri(address));
    if (script_.on_start) return script_.on_start(address);
    script_.become(Status::setup);
    return {};
  }
  std::vector<Address> listening() const noexcept override { return script_.listening; }
  void set_autostart(bool on) noexcept override {
    script_.called(on ? "autostart on" : "autostart off");
  }
  void update(const Settings& settings) noexcept override { script_.update(settings); }
  void hold_switchover() noexcept override {}
  void release_switchover() noexcept override {}
  void yank() noexcept override { script_.called("yank"); }
  std::vector<ThreadInfo> threads() const noexcept override { return {{"mig/dst/listen", 4712}}; }
  StatsSnapshot stats() const noexcept override { return script_.stats(); }
  void wait() noexcept override {}

 private:
  EngineScript& script_;
};

/// What the control plane is made of, without the control plane: for tests of single parts.
struct PlaneParts {
  PlaneParts() { machine.vcpus = &states; }
  Plane plane(bool offers_oob = false) {
    return {machine,       vm,      hub, states,    fds,       migrations,
            announcements, objects, log, {1, 2, 3}, offers_oob};
  }

  ManualClock clock;
  EventHub hub{clock};
  LogRecorder log;
  RecordingVcpus vcpus;
  RecordingVm vm;
  RunStates states{vcpus, hub, log};
  FdTable fds;
  Blockers blockers;
  Machine machine;
  Announcements announcements{nullptr};
  ObjectStore objects;
  Migrations migrations{
      {machine, vm, hub, states, fds, blockers, log, {}, params::qmp_defaults(), false, true}};
};

class PlaneTest : public ::testing::Test {
 protected:
  void create(const QmpOptions& options = {}) {
    machine_.ram = ram_;
    machine_.vcpus = &vcpus_;
    machine_.clock = &clock_;
    machine_.log = &log_;
    EngineFactory factory;
    factory.source = [this](const Machine& machine,
                            const Settings& settings) -> Result<std::unique_ptr<MigrationSource>> {
      source_.attach(machine, settings);
      return std::unique_ptr<MigrationSource>(new ScriptedSource(source_));
    };
    factory.destination =
        [this](const Machine& machine,
               const Settings& settings) -> Result<std::unique_ptr<MigrationDestination>> {
      destination_.attach(machine, settings);
      return std::unique_ptr<MigrationDestination>(new ScriptedDestination(destination_));
    };
    auto made = ControlPlaneImpl::create(machine_, vm_, options, std::move(factory));
    ASSERT_TRUE(made.has_value());
    plane_ = std::move(made).value();
    begun_ = plane_->begin().has_value();
  }

  Json raw(std::string_view request) { return Json::parse(plane_->execute(request)); }
  Json run(std::string_view command, const Json& arguments = nullptr) {
    Json request = {{"execute", command}};
    if (!arguments.is_null()) request["arguments"] = arguments;
    return raw(request.dump());
  }
  /// The value returned; null if the command failed.
  Json value(std::string_view command, const Json& arguments = nullptr) {
    return run(command, arguments).value("return", Json());
  }
  /// The description of the error; "" if the command succeeded.
  std::string desc(std::string_view command, const Json& arguments = nullptr) {
    const Json reply = run(command, arguments);
    return reply.contains("error") ? reply["error"]["desc"].get<std::string>() : "";
  }
  std::string state() { return value("query-status")["status"]; }

  std::vector<RamBlock> ram_;
  Machine machine_;
  ManualClock clock_;
  LogRecorder log_;
  RecordingVcpus vcpus_;
  RecordingVm vm_;
  EngineScript source_;
  EngineScript destination_;
  bool begun_ = false;
  std::unique_ptr<ControlPlane> plane_;
};

inline const Json kOk = Json::object();

}  // namespace tern::qmp
