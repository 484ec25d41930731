// SPDX-License-Identifier: Apache-2.0
//
// The commands that have nothing to do with migration but that every QMP client expects.
#include <array>
#include <string>
#include <utility>

#include "migration/qmp/command_table.h"
#include "migration/qmp/memory_save.h"
#include "tern/version.h"

namespace tern::qmp {

Json version_json(const QmpVersion& version) noexcept {
  // Clients look for the member "qemu" and print its three numbers.
  return {{"qemu", {{"major", version.major}, {"minor", version.minor}, {"micro", version.micro}}},
          {"package", "tern " TERN_VERSION_STRING}};
}

namespace base_commands {
namespace {

constexpr std::array<std::string_view, 1> kCapabilityWords = {"oob"};
constexpr QapiType kCapability{
    .kind = Kind::enumeration, .name = "QMPCapability", .words = kCapabilityWords};
constexpr QapiType kCapabilities{.kind = Kind::array, .element = &kCapability};
constexpr auto kNegotiateMembers = std::to_array<QapiMember>({{"enable", &kCapabilities, true}});

constexpr auto kMemorySaveMembers =
    std::to_array<QapiMember>({{"val", &kInteger}, {"size", &kInteger}, {"filename", &kString}});
constexpr auto kFdNameMembers = std::to_array<QapiMember>({{"fdname", &kString}});

std::string text_argument(const Call& call, const char* name) {
  return call.arguments.find(name)->get<std::string>();
}

std::string uuid_text(const Uuid& uuid) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[uuid[i] >> 4];
    text += kDigits[uuid[i] & 15];
  }
  return text;
}

}  // namespace

const QapiType kNegotiateArguments{.kind = Kind::object, .members = kNegotiateMembers};
const QapiType kMemorySaveArguments{.kind = Kind::object, .members = kMemorySaveMembers};
const QapiType kFdNameArguments{.kind = Kind::object, .members = kFdNameMembers};

Outcome qmp_capabilities(Call& call) {
  if (call.session.negotiated) {
    return QmpError{ErrorClass::command_not_found,
                    "Capabilities negotiation is already complete, command ignored"};
  }
  const auto enable = call.arguments.find("enable");
  const bool oob = enable != call.arguments.end() && !enable->empty();
  if (oob && !call.plane.offers_oob) {
    return generic_error(
        "Capability 'oob' is not available: commands run on the connection itself");
  }
  call.session.oob = oob;
  call.session.negotiated = true;
  return no_result();
}

Outcome query_status(Call& call) {
  const RunState state = call.plane.run_states.run_state();
  return Json{
      {"status", to_string(state)}, {"running", state == RunState::running}, {"singlestep", false}};
}

Outcome query_name(Call& call) {
  std::string name = call.plane.vm.name();
  if (name.empty()) return no_result();
  return Json{{"name", std::move(name)}};
}

Outcome query_uuid(Call& call) {
  return Json{{"UUID", uuid_text(call.plane.machine.uuid.value_or(Uuid{}))}};
}

Outcome query_target(Call&) {
#if defined(__x86_64__)
  return Json{{"arch", "x86_64"}};
#elif defined(__aarch64__)
  return Json{{"arch", "aarch64"}};
#else
#error "name the architecture as QEMU does"
#endif
}

Outcome query_kvm(Call& call) { return Json{{"enabled", call.plane.vm.kvm()}, {"present", true}}; }

Outcome stop(Call& call) {
  TERN_TRY(call.plane.run_states.stop());
  return no_result();
}

Outcome cont(Call& call) {
  TERN_TRY(call.plane.run_states.cont());
  // A guest that came here stopped is announced when it first runs.
  if (call.plane.migrations.take_announcement_due()) {
    const auto begun = call.plane.announcements.start(
        "", announce_parameters(call.plane.migrations.settings()), {});
    // The guest runs: that nobody is told where is no failure of cont.
    if (!begun) call.plane.log.log(LogLevel::warning, "announcement: " + begun.error().message());
  }
  return no_result();
}

Outcome quit(Call& call) {
  call.plane.hub.emit("SHUTDOWN", {{"guest", false}, {"reason", "host-qmp-quit"}});
  call.quit = true;
  return no_result();
}

Outcome pmemsave(Call& call) {
  const int64_t address = call.arguments.find("val")->get<int64_t>();
  const int64_t size = call.arguments.find("size")->get<int64_t>();
  if (address < 0) return generic_error("Parameter 'val' must not be negative");
  if (size < 0) return generic_error("Parameter 'size' must not be negative");
  TERN_TRY(save_physical_memory(call.plane.machine.ram, static_cast<uint64_t>(address),
                                static_cast<uint64_t>(size), text_argument(call, "filename")));
  return no_result();
}

Outcome getfd(Call& call) {
  if (!call.fd) return generic_error("No file descriptor supplied via SCM_RIGHTS");
  TERN_TRY(call.plane.fds.put(text_argument(call, "fdname"), std::move(call.fd)));
  return no_result();
}

Outcome closefd(Call& call) {
  (void)TERN_TRY(call.plane.fds.take(text_argument(call, "fdname")));
  return no_result();
}

}  // namespace base_commands
}  // namespace tern::qmp
