// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/callbacks.h"

#include "migration/capi/device.h"
#include "migration/capi/error.h"
#include "migration/capi/sized.h"

namespace tern::capi {
namespace {

struct Required {
  std::string_view name;
  bool present;
};

Result<void> require(std::string_view table, std::initializer_list<Required> callbacks) noexcept {
  for (const Required& callback : callbacks) {
    if (callback.present) continue;
    return Error(ErrorCode::invalid_argument,
                 std::string(table) + "." + std::string(callback.name) + " is NULL");
  }
  return {};
}

bool is_run_state(int state) noexcept {
  return state >= TERN_RUN_STATE_DEBUG && state <= TERN_RUN_STATE_COLO;
}

}  // namespace

Result<std::unique_ptr<LogAdapter>> LogAdapter::create(const tern_log_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "log"));
  TERN_TRY(require("log", {{"log", table.log != nullptr}}));
  return std::unique_ptr<LogAdapter>(new LogAdapter(table));
}

void LogAdapter::log(LogLevel level, std::string_view message) noexcept {
  calls_->log(calls_.user(), static_cast<int>(level), std::string(message).c_str());
}

Result<std::unique_ptr<ClockAdapter>> ClockAdapter::create(
    const tern_clock_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "clock"));
  TERN_TRY(require("clock", {{"now", table.now != nullptr}, {"wall", table.wall != nullptr}}));
  return std::unique_ptr<ClockAdapter>(new ClockAdapter(table));
}

Result<std::unique_ptr<EventAdapter>> EventAdapter::create(
    const tern_event_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "events"));
  TERN_TRY(require("events", {{"on_event", table.on_event != nullptr}}));
  return std::unique_ptr<EventAdapter>(new EventAdapter(table));
}

void EventAdapter::on_event(const Event& event) noexcept {
  tern_event told{};
  told.size = sizeof(told);
  if (const auto* status = std::get_if<StatusChanged>(&event)) {
    told.type = TERN_EVENT_STATUS;
    told.status = static_cast<int32_t>(status->status);
  } else if (const auto* pass = std::get_if<PassStarted>(&event)) {
    told.type = TERN_EVENT_PASS;
    told.pass = pass->pass;
  } else if (const auto* unplug = std::get_if<UnplugRequested>(&event)) {
    told.type = TERN_EVENT_UNPLUG;
    told.device_id = unplug->device_id.c_str();
  }
  calls_->on_event(calls_.user(), &told);
}

Result<std::unique_ptr<VcpuAdapter>> VcpuAdapter::create(
    const tern_vcpu_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "vcpus"));
  TERN_TRY(require("vcpus", {{"run_state", table.run_state != nullptr},
                             {"pause_all", table.pause_all != nullptr},
                             {"resume_all", table.resume_all != nullptr},
                             {"set_stopped_state", table.set_stopped_state != nullptr}}));
  if ((table.vcpu_count != nullptr) != (table.hold_vcpu != nullptr)) {
    return Error(ErrorCode::invalid_argument, "vcpus: one of vcpu_count, hold_vcpu is NULL");
  }
  return std::unique_ptr<VcpuAdapter>(new VcpuAdapter(table));
}

RunState VcpuAdapter::run_state() const noexcept {
  const int state = calls_->run_state(calls_.user());
  return is_run_state(state) ? static_cast<RunState>(state) : RunState::internal_error;
}

Result<RunState> VcpuAdapter::pause_all(RunState state) noexcept {
  const RunState was = run_state();
  int before = -1;
  tern_error* error = nullptr;
  const int code = calls_->pause_all(calls_.user(), static_cast<int>(state), &before, &error);
  TERN_TRY(verdict("vcpus.pause_all", code, error));
  if (is_run_state(before)) return static_cast<RunState>(before);
  if (was == RunState::running) {
    TERN_TRY(resume_all());
  } else {
    set_stopped_state(was);
  }
  return Error(ErrorCode::device, "vcpus.pause_all did not say what the guest did before: " +
                                      std::to_string(before) + " is no run state");
}

Result<void> VcpuAdapter::resume_all() noexcept {
  tern_error* error = nullptr;
  const int code = calls_->resume_all(calls_.user(), &error);
  return verdict("vcpus.resume_all", code, error);
}

void VcpuAdapter::set_stopped_state(RunState state) noexcept {
  calls_->set_stopped_state(calls_.user(), static_cast<int>(state));
}

uint32_t VcpuAdapter::vcpu_count() const noexcept {
  return calls_->vcpu_count != nullptr ? calls_->vcpu_count(calls_.user()) : 0;
}

void VcpuAdapter::hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept {
  if (calls_->hold_vcpu != nullptr) calls_->hold_vcpu(calls_.user(), vcpu, time.count());
}

Result<std::unique_ptr<AnnouncerAdapter>> AnnouncerAdapter::create(
    const tern_announcer_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "announcer"));
  TERN_TRY(require("announcer", {{"announce", table.announce != nullptr}}));
  return std::unique_ptr<AnnouncerAdapter>(new AnnouncerAdapter(table));
}

void AnnouncerAdapter::announce(std::span<const std::string> interfaces) noexcept {
  std::vector<const char*> names;
  names.reserve(interfaces.size());
  for (const std::string& name : interfaces) names.push_back(name.c_str());
  calls_->announce(calls_.user(), names.data(), names.size());
}

Result<std::unique_ptr<UnplugAdapter>> UnplugAdapter::create(
    const tern_unplug_device& table) noexcept {
  TERN_TRY(require("unplug", {{"id", table.id != nullptr},
                              {"request_unplug", table.request_unplug != nullptr},
                              {"unplugged", table.unplugged != nullptr},
                              {"plug_back", table.plug_back != nullptr}}));
  return std::unique_ptr<UnplugAdapter>(new UnplugAdapter(table));
}

Result<void> UnplugAdapter::request_unplug() noexcept {
  tern_error* error = nullptr;
  const int code = calls_->request_unplug(calls_.user(), &error);
  return verdict("request_unplug of " + id_, code, error);
}

Result<std::unique_ptr<DeviceAdapter>> DeviceAdapter::create(
    const tern_device_section& table) noexcept {
  TERN_TRY(require("device", {{"idstr", table.idstr != nullptr},
                              {"save", table.save != nullptr},
                              {"load", table.load != nullptr}}));
  SectionId id{.idstr = table.idstr, .instance_id = table.instance_id};
  if (id.idstr.empty() || id.idstr.size() > 255) {
    return Error(ErrorCode::invalid_argument, "device.idstr must have 1 to 255 bytes");
  }
  if (table.reserved != 0) {
    return Error(ErrorCode::unsupported, "device " + id.idstr + ": reserved is not 0");
  }
  id.version_id = table.version_id != 0 ? table.version_id : 1;
  id.minimum_version_id = table.minimum_version_id != 0 ? table.minimum_version_id : id.version_id;
  if (id.minimum_version_id > id.version_id) {
    return Error(ErrorCode::invalid_argument,
                 "device " + id.idstr + ": minimum_version_id is above version_id");
  }
  return std::unique_ptr<DeviceAdapter>(new DeviceAdapter(table, std::move(id)));
}

Result<void> DeviceAdapter::save(DeviceWriter& writer) noexcept {
  tern_device_writer handle{.writer = &writer, .own = nullptr, .fault = {}};
  tern_error* error = nullptr;
  const int code = calls_->save(calls_.user(), &handle, &error);
  TERN_TRY(verdict("save", code, error));
  if (handle.fault.empty()) return {};
  return Error(ErrorCode::invalid_argument, "save: " + handle.fault);
}

Result<void> DeviceAdapter::load(DeviceReader& reader, uint32_t version_id) noexcept {
  tern_device_reader handle{.reader = &reader, .own = nullptr};
  tern_error* error = nullptr;
  const int code = calls_->load(calls_.user(), &handle, version_id, &error);
  return verdict("load", code, error);
}

}  // namespace tern::capi
