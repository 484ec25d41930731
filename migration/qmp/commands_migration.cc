// SPDX-License-Identifier: Apache-2.0
//
// The migration commands: from checked JSON arguments to Migrations and back.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/qmp/address_arg.h"
#include "migration/qmp/command_table.h"

namespace tern::qmp::migration_commands {
namespace {

using params::kCapabilities;
using params::kParameters;

constexpr auto kMigrateMembers = std::to_array<ArgMember>({{"uri", &kString, true},
                                                           {"channels", &kMigrationChannels, true},
                                                           {"detach", &kBoolean, true},
                                                           {"resume", &kBoolean, true}});
constexpr auto kIncomingMembers = std::to_array<ArgMember>({{"uri", &kString, true},
                                                            {"channels", &kMigrationChannels, true},
                                                            {"exit-on-error", &kBoolean, true}});

// The words of the status, in the order of the enum.
constexpr std::array<std::string_view, kStatusCount> kStatusWords = {"none",
                                                                     "setup",
                                                                     "wait-unplug",
                                                                     "active",
                                                                     "pre-switchover",
                                                                     "device",
                                                                     "postcopy-device",
                                                                     "postcopy-active",
                                                                     "postcopy-paused",
                                                                     "postcopy-recover-setup",
                                                                     "postcopy-recover",
                                                                     "colo",
                                                                     "cancelling",
                                                                     "cancelled",
                                                                     "failing",
                                                                     "failed",
                                                                     "completed"};
constexpr ArgType kStatusType{
    .kind = Kind::enumeration, .name = "MigrationStatus", .words = kStatusWords};
constexpr auto kContinueMembers = std::to_array<ArgMember>({{"state", &kStatusType}});

constexpr auto kCapabilityWords = [] {
  std::array<std::string_view, kCapabilities.size()> words{};
  for (size_t i = 0; i < words.size(); ++i) words[i] = kCapabilities[i].name;
  return words;
}();
constexpr ArgType kCapabilityName{
    .kind = Kind::enumeration, .name = "MigrationCapability", .words = kCapabilityWords};
constexpr auto kCapabilityMembers =
    std::to_array<ArgMember>({{"capability", &kCapabilityName}, {"state", &kBoolean}});
constexpr ArgType kCapabilityStatus{
    .kind = Kind::object, .name = "MigrationCapabilityStatus", .members = kCapabilityMembers};
constexpr ArgType kCapabilityList{.kind = Kind::array, .element = &kCapabilityStatus};
constexpr auto kSetCapabilitiesMembers =
    std::to_array<ArgMember>({{"capabilities", &kCapabilityList}});

// One type per parameter, so that enumerations have their words; most are the same few.
constexpr auto kParameterTypes = [] {
  std::array<ArgType, kParameters.size()> types{};
  for (size_t i = 0; i < types.size(); ++i) {
    const params::ParameterRow& row = kParameters[i];
    switch (row.type) {
      case params::ValueType::size:
      case params::ValueType::uint64:
        types[i].kind = Kind::uint64;
        break;
      case params::ValueType::uint32:
        types[i].kind = Kind::uint32;
        break;
      case params::ValueType::enumeration:
        types[i].kind = Kind::enumeration;
        types[i].name = row.words.type_name;
        types[i].words = row.words.words;
        break;
    }
  }
  return types;
}();
constexpr auto kSetParametersMembers = [] {
  std::array<ArgMember, kParameters.size()> members{};
  for (size_t i = 0; i < members.size(); ++i) {
    members[i] = {kParameters[i].name, &kParameterTypes[i], true};
  }
  return members;
}();

bool flag(const Json& arguments, const char* name) noexcept {
  const auto found = arguments.find(name);
  return found != arguments.end() && found->get<bool>();
}

template <typename Words>
size_t index_of(const Words& words, const Json& word) noexcept {
  const auto found =
      std::find(words.begin(), words.end(), word.template get_ref<const std::string&>());
  return static_cast<size_t>(found - words.begin());
}

}  // namespace

const ArgType kMigrateArguments{.kind = Kind::object, .members = kMigrateMembers};
const ArgType kIncomingArguments{.kind = Kind::object, .members = kIncomingMembers};
const ArgType kContinueArguments{.kind = Kind::object, .members = kContinueMembers};
const ArgType kSetCapabilitiesArguments{.kind = Kind::object, .members = kSetCapabilitiesMembers};
const ArgType kSetParametersArguments{.kind = Kind::object, .members = kSetParametersMembers};

Outcome migrate(Call& call) {
  // The address is checked before the state: a typing error leaves the result of the last migration
  // visible.
  Address address = TERN_TRY(address_argument(call.arguments));
  if (flag(call.arguments, "resume") &&
      call.plane.migrations.outgoing().status != Status::postcopy_paused) {
    return generic_error("There is no paused migration to resume");
  }
  TERN_TRY(call.plane.migrations.start(std::move(address)));
  return no_result();
}

Outcome migrate_incoming(Call& call) {
  Migrations& migrations = call.plane.migrations;
  TERN_TRY(migrations.may_listen());
  Address address = TERN_TRY(address_argument(call.arguments));
  std::optional<bool> exit_on_error;
  if (call.arguments.contains("exit-on-error")) {
    exit_on_error = flag(call.arguments, "exit-on-error");
  }
  TERN_TRY(migrations.listen(std::move(address), exit_on_error));
  return no_result();
}

Outcome migrate_cancel(Call& call) {
  TERN_TRY(call.plane.migrations.cancel());
  return no_result();
}

Outcome migrate_continue(Call& call) {
  const size_t word = index_of(kStatusWords, *call.arguments.find("state"));
  TERN_TRY(call.plane.migrations.continue_from(static_cast<Status>(word)));
  return no_result();
}

Outcome query_migrate(Call& call) { return call.plane.migrations.info(); }

Outcome set_capabilities(Call& call) {
  params::CapabilitySet wanted = call.plane.migrations.capabilities();
  for (const Json& entry : *call.arguments.find("capabilities")) {
    const size_t row = index_of(kCapabilityWords, *entry.find("capability"));
    wanted.set(row, entry.find("state")->get<bool>());
  }
  TERN_TRY(call.plane.migrations.set_capabilities(wanted));
  return no_result();
}

Outcome query_capabilities(Call& call) {
  const params::CapabilitySet on = call.plane.migrations.capabilities();
  Json list = Json::array();
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    list.push_back({{"capability", kCapabilities[i].name}, {"state", on.test(i)}});
  }
  return list;
}

Outcome set_parameters(Call& call) {
  Settings wanted = call.plane.migrations.settings();
  for (const params::ParameterRow& row : kParameters) {
    const auto given = call.arguments.find(row.name);
    if (given == call.arguments.end()) continue;
    const uint64_t value = row.type == params::ValueType::enumeration
                               ? index_of(row.words.words, *given)
                               : given->get<uint64_t>();
    params::set(wanted, row, value);
  }
  TERN_TRY(call.plane.migrations.set_parameters(std::move(wanted)));
  return no_result();
}

Outcome query_parameters(Call& call) {
  const Settings& settings = call.plane.migrations.settings();
  Json all = Json::object();
  for (const params::ParameterRow& row : kParameters) {
    const uint64_t value = params::get(settings, row);
    if (row.type == params::ValueType::enumeration) {
      all[std::string(row.name)] = row.words.words[value];
    } else {
      all[std::string(row.name)] = value;
    }
  }
  return all;
}

}  // namespace tern::qmp::migration_commands
