// SPDX-License-Identifier: Apache-2.0
//
// The migration commands: from checked JSON arguments to Migrations and back.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/qmp/address_arg.h"
#include "migration/qmp/command_table.h"
#include "migration/qmp/result_types.h"

namespace tern::qmp::migration_commands {
namespace {

using params::kCapabilities;
using params::kParameters;

constexpr auto kMigrateMembers =
    std::to_array<QapiMember>({{"uri", &kString, true},
                               {"channels", &kMigrationChannels, true},
                               {"detach", &kBoolean, true, kDeprecated}});
constexpr auto kIncomingMembers =
    std::to_array<QapiMember>({{"uri", &kString, true},
                               {"channels", &kMigrationChannels, true},
                               {"exit-on-error", &kBoolean, true}});

constexpr auto kContinueMembers = std::to_array<QapiMember>({{"state", &types::kMigrationStatus}});

constexpr auto kCapabilityWords = [] {
  std::array<std::string_view, kCapabilities.size()> words{};
  for (size_t i = 0; i < words.size(); ++i) words[i] = kCapabilities[i].name;
  return words;
}();
constexpr auto kCapabilityFeatures = [] {
  std::array<Features, kCapabilities.size()> features{};
  for (size_t i = 0; i < features.size(); ++i) {
    features[i] = features_of(kCapabilities[i].deprecated, kCapabilities[i].unstable);
  }
  return features;
}();
constexpr QapiType kCapabilityName{.kind = Kind::enumeration,
                                   .name = "MigrationCapability",
                                   .words = kCapabilityWords,
                                   .word_features = kCapabilityFeatures};
constexpr auto kCapabilityMembers =
    std::to_array<QapiMember>({{"capability", &kCapabilityName}, {"state", &kBoolean}});
constexpr QapiType kCapabilityStatus{
    .kind = Kind::object, .name = "MigrationCapabilityStatus", .members = kCapabilityMembers};
constexpr auto kSetCapabilitiesMembers =
    std::to_array<QapiMember>({{"capabilities", &kCapabilityList}});

constexpr auto kYankMembers = std::to_array<QapiMember>({{"instances", &types::kYankInstanceList}});
constexpr auto kAnnounceMembers = std::to_array<QapiMember>({{"initial", &kInteger},
                                                             {"max", &kInteger},
                                                             {"rounds", &kInteger},
                                                             {"step", &kInteger},
                                                             {"interfaces", &kStringList, true},
                                                             {"id", &kString, true}});

bool flag(const Json& arguments, const char* name) noexcept {
  const auto found = arguments.find(name);
  return found != arguments.end() && found->get<bool>();
}

Json json_of(const params::ParameterRow& row, const params::Value& value) noexcept {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const uint64_t n = *std::get_if<uint64_t>(&value);
  if (row.type == SettingType::boolean) return n != 0;
  if (row.type == SettingType::enumeration) return row.words.words[n];
  return n;
}

template <typename Words>
size_t index_of(const Words& words, const Json& word) noexcept {
  const auto found =
      std::find(words.begin(), words.end(), word.template get_ref<const std::string&>());
  return static_cast<size_t>(found - words.begin());
}

// Of an argument that passed its type.
params::Value value_of(const params::ParameterRow& row, const Json& given) noexcept {
  if (row.type == SettingType::string) {
    return given.is_null() ? std::string() : given.get<std::string>();
  }
  if (row.type == SettingType::boolean) return uint64_t{given.get<bool>()};
  if (row.type == SettingType::enumeration) return index_of(row.words.words, given);
  return given.get<uint64_t>();
}

}  // namespace

const QapiType kMigrateArguments{.kind = Kind::object, .members = kMigrateMembers};
const QapiType kIncomingArguments{.kind = Kind::object, .members = kIncomingMembers};
const QapiType kContinueArguments{.kind = Kind::object, .members = kContinueMembers};
const QapiType kSetCapabilitiesArguments{.kind = Kind::object, .members = kSetCapabilitiesMembers};
const QapiType kCapabilityList{.kind = Kind::array, .element = &kCapabilityStatus};
const QapiType kYankArguments{.kind = Kind::object, .members = kYankMembers};
const QapiType kAnnounceArguments{
    .kind = Kind::object, .name = "AnnounceParameters", .members = kAnnounceMembers};

Outcome migrate(Call& call) {
  // The address is checked before the state: a typing error leaves the result of the last migration
  // visible.
  Address address = TERN_TRY(address_argument(call.arguments));
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
  const size_t word = index_of(types::kMigrationStatus.words, *call.arguments.find("state"));
  TERN_TRY(call.plane.migrations.continue_from(types::kOfferedStatuses[word]));
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
    params::set(wanted, row, value_of(row, *given));
  }
  TERN_TRY(call.plane.migrations.set_parameters(std::move(wanted)));
  return no_result();
}

Outcome query_parameters(Call& call) {
  const Settings& settings = call.plane.migrations.settings();
  Json all = Json::object();
  for (const params::ParameterRow& row : kParameters) {
    all[std::string(row.name)] = json_of(row, params::get(settings, row));
  }
  return all;
}

Outcome query_threads(Call& call) {
  Json list = Json::array();
  for (const ThreadInfo& thread : call.plane.migrations.threads()) {
    list.push_back({{"name", thread.name}, {"thread-id", thread.thread_id}});
  }
  return list;
}

Outcome query_yank(Call& call) {
  Json list = Json::array();
  if (call.plane.migrations.can_yank()) list.push_back({{"type", "migration"}});
  return list;
}

Outcome yank(Call& call) {
  const Json& instances = *call.arguments.find("instances");
  for (const Json& instance : instances) {
    const auto& type = instance.find("type")->get_ref<const std::string&>();
    if (type == "migration" && call.plane.migrations.can_yank()) continue;
    return QmpError{ErrorClass::device_not_found, "There is no yank instance '" + type + "'"};
  }
  if (!instances.empty()) call.plane.migrations.yank();
  return no_result();
}

Outcome announce_self(Call& call) {
  const auto number = [&call](const char* name) {
    return static_cast<uint64_t>(call.arguments.find(name)->get<int64_t>());
  };
  for (const char* name : {"initial", "max", "rounds", "step"}) {
    if (call.arguments.find(name)->get<int64_t>() >= 0) continue;
    return generic_error("Parameter '" + std::string(name) + "' must not be negative");
  }
  std::vector<std::string> interfaces;
  if (const auto given = call.arguments.find("interfaces"); given != call.arguments.end()) {
    interfaces = given->get<std::vector<std::string>>();
  }
  const auto id = call.arguments.find("id");
  TERN_TRY(call.plane.announcements.start(
      id == call.arguments.end() ? "" : id->get<std::string>(),
      {number("initial"), number("max"), number("rounds"), number("step")}, std::move(interfaces)));
  return no_result();
}

}  // namespace tern::qmp::migration_commands
