// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_table.h"

#include <algorithm>
#include <array>

#include "migration/qmp/object_args.h"
#include "migration/qmp/result_types.h"

namespace tern::qmp {
namespace {

namespace b = base_commands;
namespace d = dirty_commands;
namespace i = introspect_commands;
namespace l = dirty_limit_commands;
namespace m = migration_commands;
namespace o = object_commands;

// Static initialisation order does not matter: the rows hold only addresses.
constexpr std::string_view kRunning = "There is a migration process in progress";

// Static initialisation order does not matter: the rows hold only addresses.
constexpr auto kCommands = std::to_array<CommandRow>({
    // ---- the server itself
    {"qmp_capabilities", &b::kNegotiateArguments, &kEmpty, b::qmp_capabilities, false, kAnyStatus,
     "", "0.1", kNoFeatures, "Ends the negotiation; must be the first command of a connection."},
    {"query-version", &kEmpty, &types::kVersionInfo, i::query_version, false, kAnyStatus, "", "0.1",
     kNoFeatures, "The version of the program, as in the greeting."},
    {"query-commands", &kEmpty, &types::kCommandInfoList, i::query_commands, false, kAnyStatus, "",
     "0.1", kNoFeatures, "The names of all commands."},
    {"query-events", &kEmpty, &types::kEventInfoList, i::query_events, false, kAnyStatus, "", "0.2",
     kDeprecated, "The names of all events; query-qmp-schema says more."},
    {"query-qmp-schema", &kEmpty, &types::kSchemaInfoList, i::query_qmp_schema, false, kAnyStatus,
     "", "0.2", kNoFeatures, "Every command and event with the types they use."},
    {"quit", &kEmpty, &kEmpty, b::quit, false, kAnyStatus, "", "0.1", kNoFeatures,
     "Ends the process."},

    // ---- the machine
    {"query-status", &kEmpty, &types::kStatusInfo, b::query_status, false, kAnyStatus, "", "0.1",
     kNoFeatures, "The run state of the VM."},
    {"query-name", &kEmpty, &types::kNameInfo, b::query_name, false, kAnyStatus, "", "0.1",
     kNoFeatures, "The name of the VM, if it has one."},
    {"query-uuid", &kEmpty, &types::kUuidInfo, b::query_uuid, false, kAnyStatus, "", "0.1",
     kNoFeatures, "The UUID of the VM; all zero if it has none."},
    {"query-target", &kEmpty, &types::kTargetInfo, b::query_target, false, kAnyStatus, "", "0.1",
     kNoFeatures, "The architecture of the guest."},
    {"query-kvm", &kEmpty, &types::kKvmInfo, b::query_kvm, false, kAnyStatus, "", "0.2",
     kNoFeatures, "Whether the guest runs under KVM."},
    {"stop", &kEmpty, &kEmpty, b::stop, false, kAnyStatus, "", "0.1", kNoFeatures,
     "Stops the guest. While an incoming migration is awaited: it will not start by itself."},
    {"cont", &kEmpty, &kEmpty, b::cont, false, kAnyStatus, "", "0.1", kNoFeatures,
     "Lets the guest run. While an incoming migration is awaited: it will start by itself. After a "
     "completed migration it takes the guest back, which is only right if it does not run at the "
     "destination."},
    {"pmemsave", &b::kMemorySaveArguments, &kEmpty, b::pmemsave, false, kAnyStatus, "", "0.1",
     kNoFeatures, "Writes size bytes of guest-physical memory from address val to a file."},
    {"announce-self", &m::kAnnounceArguments, &kEmpty, m::announce_self, false, kAnyStatus, "",
     "0.2", kNoFeatures,
     "Tells the network where the guest is, on all or the named interfaces; a series with the same "
     "id "
     "ends. Without a network device nothing is sent."},
    {"getfd", &b::kFdNameArguments, &kEmpty, b::getfd, false, kAnyStatus, "", "0.1", kNoFeatures,
     "Gives a name to the descriptor that was sent along (SCM_RIGHTS), for the address fd:NAME."},
    {"closefd", &b::kFdNameArguments, &kEmpty, b::closefd, false, kAnyStatus, "", "0.1",
     kNoFeatures, "Closes a descriptor named by getfd."},

    {"set-vcpu-dirty-limit", &l::kSetArguments, &kEmpty, l::set_limit, false, kAnyStatus, "", "0.4",
     kNoFeatures,
     "Lets one vCPU, or without cpu-index each, dirty at most dirty-rate MiB/s; 0 takes the limit "
     "away. Needs a tracker that tells which vCPU wrote: the KVM dirty ring, or write protection "
     "by faults."},
    {"cancel-vcpu-dirty-limit", &l::kCancelArguments, &kEmpty, l::cancel_limit, false, kAnyStatus,
     "", "0.4", kNoFeatures, "Takes the limit of one vCPU, or without cpu-index of each, away."},
    {"query-vcpu-dirty-limit", &kEmpty, &types::kDirtyLimitInfoList, l::query_limits, false,
     kAnyStatus, "", "0.4", kNoFeatures,
     "The vCPUs that have a limit, with what they dirty, in MiB/s."},
    {"calc-dirty-rate", &d::kCalcArguments, &kEmpty, d::calc_dirty_rate, false, kAnyStatus, "",
     "0.4", kNoFeatures,
     "Begins to measure how fast the guest dirties memory, for calc-time; query-dirty-rate tells "
     "the "
     "result."},
    {"query-dirty-rate", &d::kQueryArguments, &types::kDirtyRateInfo, d::query_dirty_rate, false,
     kAnyStatus, "", "0.4", kNoFeatures,
     "State and result of the last dirty-rate measurement, in MiB/s."},

    // ---- objects
    {"object-add", &kObjectOptions, &kEmpty, o::object_add, false, kAnyStatus, "", "0.3",
     kNoFeatures, "Makes an object that parameters and other objects name by its id."},
    {"object-del", &o::kIdArguments, &kEmpty, o::object_del, false, kAnyStatus, "", "0.3",
     kNoFeatures, "Takes an object away; a migration that uses it keeps it to its end."},
    {"qom-list", &o::kPathArguments, &types::kObjectPropertyInfoList, o::qom_list, false,
     kAnyStatus, "", "0.3", kNoFeatures,
     "The objects (path /objects), or the properties that one has (/objects/ID)."},

    // ---- migration
    {"migrate", &m::kMigrateArguments, &kEmpty, m::migrate, false, kAnyStatus, "", "0.1",
     kNoFeatures,
     "Begins to migrate the guest to uri or channels; returns when connecting has begun."},
    {"migrate-incoming", &m::kIncomingArguments, &kEmpty, m::migrate_incoming, false, kAnyStatus,
     "", "0.1", kNoFeatures, "Begins to listen for a migration on uri or channels."},
    {"migrate_cancel", &kEmpty, &kEmpty, m::migrate_cancel, false, kAnyStatus & ~kPostcopy,
     "A migration in postcopy cannot be cancelled: the guest is split between both sides; use "
     "migrate-pause or recover it",
     "0.1", kNoFeatures, "Gives the running migration up; no effect if none runs."},
    {"migrate-continue", &m::kContinueArguments, &kEmpty, m::migrate_continue, false, kAnyStatus,
     "", "0.1", kNoFeatures, "Goes on from the state that pause-before-switchover stops in."},
    {"query-migrate", &kEmpty, &types::kMigrationInfo, m::query_migrate, false, kAnyStatus, "",
     "0.1", kNoFeatures, "State and statistics of the present or last migration."},
    {"query-migrationthreads", &kEmpty, &types::kMigrationThreadInfoList, m::query_threads, false,
     kAnyStatus, "", "0.2", kDeprecated,
     "The threads that run for migrations, with the kernel's ids."},
    {"migrate-set-capabilities", &m::kSetCapabilitiesArguments, &kEmpty, m::set_capabilities, false,
     kNothingRunning, kRunning, "0.1", kNoFeatures,
     "Turns capabilities on and off, all or none of those given."},
    {"query-migrate-capabilities", &kEmpty, &m::kCapabilityList, m::query_capabilities, false,
     kAnyStatus, "", "0.1", kNoFeatures, "All capabilities with their state."},
    {"migrate-set-parameters", &types::kMigrateSetParameters, &kEmpty, m::set_parameters, false,
     kAnyStatus, "", "0.1", kNoFeatures, "Sets parameters, all or none of those given."},
    {"query-migrate-parameters", &kEmpty, &types::kMigrationParameters, m::query_parameters, false,
     kAnyStatus, "", "0.1", kNoFeatures, "All parameters with their values."},
    {"query-yank", &kEmpty, &types::kYankInstanceList, m::query_yank, true, kAnyStatus, "", "0.2",
     kNoFeatures, "What yank can shut down."},
    {"yank", &m::kYankArguments, &kEmpty, m::yank, true, kAnyStatus, "", "0.2", kNoFeatures,
     "Shuts connections down as if the network had died, whatever hangs on them; all of those "
     "given, "
     "or none if one does not exist."},
});

constexpr bool rows_are_sound() {
  for (size_t i = 0; i < kCommands.size(); ++i) {
    if (kCommands[i].name.empty() || kCommands[i].help.empty()) return false;
    if (kCommands[i].allow_oob && kCommands[i].permitted != kAnyStatus) return false;
    if ((kCommands[i].permitted == kAnyStatus) != kCommands[i].refusal.empty()) return false;
    for (size_t k = 0; k < i; ++k) {
      if (kCommands[k].name == kCommands[i].name) return false;
    }
  }
  return true;
}
static_assert(rows_are_sound(), "a name used twice, no help, or a restriction without its text");

}  // namespace

std::span<const CommandRow> command_table() noexcept { return kCommands; }

const CommandRow* find_command(std::string_view name) noexcept {
  const auto row = std::find_if(kCommands.begin(), kCommands.end(),
                                [&](const CommandRow& r) { return r.name == name; });
  return row == kCommands.end() ? nullptr : &*row;
}

}  // namespace tern::qmp
