// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/machine.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "migration/capi/error.h"
#include "migration/capi/memory.h"
#include "migration/capi/objects.h"
#include "migration/capi/sized.h"

namespace tern::capi {

Result<std::shared_ptr<MachineParts>> MachineParts::create(
    const tern_machine_options* given) noexcept {
  const auto options = TERN_TRY(read_sized(given, "options"));
  std::shared_ptr<MachineParts> parts(new MachineParts());
  Machine& machine = parts->machine_;
  if (options.name != nullptr) machine.name = options.name;
  if (machine.name.empty() || machine.name.size() > 255) {
    return Error(ErrorCode::invalid_argument, "options.name must have 1 to 255 bytes");
  }
  parts->ram_ = TERN_TRY(read_blocks(options.ram, options.ram_count));
  machine.ram = parts->ram_;
  if (options.tracker != nullptr) {
    parts->tracker_ = options.tracker->parts;
    machine.tracker = parts->tracker_->tracker.get();
    machine.harvester = parts->tracker_->harvester.get();
  }
  parts->vcpus_ = TERN_TRY(VcpuAdapter::create(options.vcpus));
  machine.vcpus = parts->vcpus_.get();
  if (options.uuid != nullptr) {
    machine.uuid.emplace();
    std::memcpy(machine.uuid->data(), options.uuid, machine.uuid->size());
  }
  if (options.objects != nullptr) {
    parts->objects_ = options.objects->store;
    machine.objects = parts->objects_.get();
  }
  TERN_TRY(parts->read_devices(options));
  TERN_TRY(parts->read_observers(options));
  TERN_TRY(parts->make_dirty_limit());
  parts->adopt();
  return parts;
}

Result<void> MachineParts::make_dirty_limit() noexcept {
  if (machine_.harvester == nullptr || vcpus_->vcpu_count() == 0) return {};
  dirty_limit_ = TERN_TRY(DirtyLimit::create(
      {.harvester = machine_.harvester, .vcpus = vcpus_.get(), .ram = ram_, .log = machine_.log}));
  machine_.dirty_limit = dirty_limit_.get();
  return {};
}

Result<void> MachineParts::read_devices(const tern_machine_options& options) noexcept {
  std::set<std::pair<std::string_view, uint32_t>> names;
  const auto devices = TERN_TRY(read_array(options.devices, options.device_count, "devices"));
  for (const tern_device_section& table : devices) {
    devices_.push_back(TERN_TRY(DeviceAdapter::create(table)));
    const SectionId& id = devices_.back()->id();
    if (!names.emplace(id.idstr, id.instance_id).second) {
      return Error(ErrorCode::invalid_argument, "two devices are " + id.idstr + " with instance " +
                                                    std::to_string(id.instance_id));
    }
    device_pointers_.push_back(devices_.back().get());
  }
  machine_.devices = device_pointers_;
  const auto unplug = TERN_TRY(read_array(options.unplug, options.unplug_count, "unplug"));
  for (const tern_unplug_device& table : unplug) {
    unplug_.push_back(TERN_TRY(UnplugAdapter::create(table)));
    unplug_pointers_.push_back(unplug_.back().get());
  }
  machine_.unplug = unplug_pointers_;
  return {};
}

Result<void> MachineParts::read_observers(const tern_machine_options& options) noexcept {
  if (options.announcer != nullptr) {
    announcer_ = TERN_TRY(AnnouncerAdapter::create(options.announcer));
    machine_.announcer = announcer_.get();
  }
  if (options.events != nullptr) {
    events_ = TERN_TRY(EventAdapter::create(options.events));
    machine_.events = events_.get();
  }
  if (options.clock != nullptr) {
    clock_ = TERN_TRY(ClockAdapter::create(options.clock));
    machine_.clock = clock_.get();
  }
  if (options.log != nullptr) {
    log_ = TERN_TRY(LogAdapter::create(options.log));
    machine_.log = log_.get();
  }
  return {};
}

void MachineParts::adopt() noexcept {
  vcpus_->adopt();
  for (const auto& device : devices_) device->adopt();
  for (const auto& device : unplug_) device->adopt();
  if (announcer_ != nullptr) announcer_->adopt();
  if (events_ != nullptr) events_->adopt();
  if (clock_ != nullptr) clock_->adopt();
  if (log_ != nullptr) log_->adopt();
}

}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

struct tern_pause_guard {
  std::shared_ptr<MachineParts> parts;  // before the guard: it calls the vCPUs when it goes
  VcpuPauseGuard guard;
};

int tern_machine_create(const tern_machine_options* options, tern_machine** out,
                        tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    auto parts = TERN_TRY(MachineParts::create(options));  // not inside new: it would leak
    *out = new tern_machine{std::move(parts)};
    return {};
  });
}

void tern_machine_free(tern_machine* machine) noexcept { delete machine; }

int tern_machine_set_vcpu_dirty_limit(tern_machine* machine, int64_t vcpu, uint64_t mib_per_s,
                                      tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}}));
    if (vcpu < -1 || vcpu > UINT32_MAX) {
      return Error(ErrorCode::invalid_argument, "there is no vCPU " + std::to_string(vcpu));
    }
    DirtyLimit* limit = machine->parts->machine().dirty_limit;
    if (limit == nullptr) {
      return Error(ErrorCode::unsupported,
                   "this machine has no vCPUs that can be held back, or no tracker");
    }
    return limit->set(vcpu < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(vcpu)),
                      mib_per_s);
  });
}

size_t tern_machine_vcpu_dirty_limits(const tern_machine* machine, tern_vcpu_dirty_limit* limits,
                                      size_t count) noexcept {
  if (machine == nullptr || machine->parts->machine().dirty_limit == nullptr) return 0;
  const auto known = machine->parts->machine().dirty_limit->query();
  for (size_t i = 0; limits != nullptr && i < std::min(count, known.size()); ++i) {
    limits[i] = {known[i].vcpu, 0, known[i].limit_rate, known[i].current_rate};
  }
  return known.size();
}

int tern_machine_pause(tern_machine* machine, tern_pause_guard** out, tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}, {"out", out}}));
    auto guard = TERN_TRY(VcpuPauseGuard::pause(machine->parts->vcpus()));
    *out = new tern_pause_guard{machine->parts, std::move(guard)};
    return {};
  });
}

int tern_pause_guard_before(const tern_pause_guard* guard) noexcept {
  return guard != nullptr ? static_cast<int>(guard->guard.before()) : TERN_RUN_STATE_INTERNAL_ERROR;
}

int tern_pause_guard_release(tern_pause_guard* guard, int state, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"guard", guard}}));
    if (state < TERN_RUN_STATE_DEBUG || state > TERN_RUN_STATE_COLO ||
        state == TERN_RUN_STATE_RUNNING) {
      return Error(ErrorCode::invalid_argument, "the guest cannot stay stopped in state " +
                                                    std::to_string(state) + " (" +
                                                    tern_run_state_name(state) + ")");
    }
    std::move(guard->guard).release(static_cast<RunState>(state));
    delete guard;
    return {};
  });
}

int tern_pause_guard_undo(tern_pause_guard* guard, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"guard", guard}}));
    const std::unique_ptr<tern_pause_guard> last(guard);
    return std::move(last->guard).undo();
  });
}

void tern_pause_guard_free(tern_pause_guard* guard) noexcept { delete guard; }

int tern_make_announcement(const uint8_t* mac, uint8_t* frame, tern_error** error) noexcept {
  static_assert(TERN_ANNOUNCEMENT_BYTES == kAnnouncementBytes);
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"mac", mac}, {"frame", frame}}));
    MacAddress address{};
    std::copy_n(mac, address.size(), address.begin());
    const auto made = make_announcement(address);
    std::memcpy(frame, made.data(), made.size());
    return {};
  });
}
