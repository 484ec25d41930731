// SPDX-License-Identifier: Apache-2.0
//
// The limits for how fast vCPUs dirty memory.
#include <array>
#include <optional>

#include "migration/qmp/command_table.h"

namespace tern::qmp::dirty_limit_commands {
namespace {

constexpr auto kSetMembers =
    std::to_array<QapiMember>({{"cpu-index", &kInteger, true}, {"dirty-rate", &kUint64}});
constexpr auto kCancelMembers = std::to_array<QapiMember>({{"cpu-index", &kInteger, true}});

Result<std::optional<uint32_t>> vcpu_of(const Call& call) {
  const auto index = call.arguments.find("cpu-index");
  if (index == call.arguments.end()) return std::optional<uint32_t>();
  const auto number = index->get<int64_t>();
  if (number >= 0 && number <= UINT32_MAX) return std::optional(static_cast<uint32_t>(number));
  return Error(ErrorCode::invalid_argument, "there is no vCPU " + std::to_string(number));
}

}  // namespace

const QapiType kSetArguments{.kind = Kind::object, .members = kSetMembers};
const QapiType kCancelArguments{.kind = Kind::object, .members = kCancelMembers};

Outcome set_limit(Call& call) {
  DirtyLimit* limit = call.plane.machine.dirty_limit;
  const auto rate = call.arguments.find("dirty-rate")->get<uint64_t>();
  if (limit == nullptr) {
    return generic_error(
        "dirty limits need vCPUs that can be held back and a tracker that tells which of them "
        "wrote: the KVM dirty ring, or write protection by faults");
  }
  const auto vcpu = TERN_TRY(vcpu_of(call));
  TERN_TRY(limit->set(vcpu, rate));
  return no_result();
}

Outcome cancel_limit(Call& call) {
  DirtyLimit* limit = call.plane.machine.dirty_limit;
  // Where there can be no limit there is none left afterwards: no error, as in QEMU.
  if (limit == nullptr || !limit->available()) return no_result();
  const auto vcpu = TERN_TRY(vcpu_of(call));
  TERN_TRY(limit->cancel(vcpu));
  return no_result();
}

Outcome query_limits(Call& call) {
  Json list = Json::array();
  if (call.plane.machine.dirty_limit == nullptr) return list;
  for (const VcpuDirtyLimit& limit : call.plane.machine.dirty_limit->query()) {
    list.push_back(Json{{"cpu-index", limit.vcpu},
                        {"limit-rate", limit.limit_rate},
                        {"current-rate", limit.current_rate}});
  }
  return list;
}

}  // namespace tern::qmp::dirty_limit_commands
