// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_table.h"

#include <algorithm>
#include <array>

namespace tern::qmp {
namespace {

namespace b = base_commands;
namespace m = migration_commands;

// Static initialisation order does not matter: the rows hold only addresses.
constexpr auto kCommands = std::to_array<CommandRow>({
    {"qmp_capabilities", &b::kNegotiateArguments, b::qmp_capabilities, false, kAnyStatus, "", "0.1",
     "Ends the negotiation; must be the first command of a connection."},
    {"query-version", &kNoArguments, b::query_version, false, kAnyStatus, "", "0.1",
     "The version of the program, as in the greeting."},
    {"query-commands", &kNoArguments, b::query_commands, false, kAnyStatus, "", "0.1",
     "The names of all commands."},
    {"query-status", &kNoArguments, b::query_status, false, kAnyStatus, "", "0.1",
     "The run state of the VM."},
    {"query-name", &kNoArguments, b::query_name, false, kAnyStatus, "", "0.1",
     "The name of the VM, if it has one."},
    {"query-uuid", &kNoArguments, b::query_uuid, false, kAnyStatus, "", "0.1",
     "The UUID of the VM; all zero if it has none."},
    {"query-target", &kNoArguments, b::query_target, false, kAnyStatus, "", "0.1",
     "The architecture of the guest."},
    {"stop", &kNoArguments, b::stop, false, kAnyStatus, "", "0.1",
     "Stops the guest. While an incoming migration is awaited: it will not start by itself."},
    {"cont", &kNoArguments, b::cont, false, kAnyStatus, "", "0.1",
     "Lets the guest run. While an incoming migration is awaited: it will start by itself. After a "
     "completed "
     "migration it takes the guest back, which is only right if it does not run at the "
     "destination."},
    {"quit", &kNoArguments, b::quit, false, kAnyStatus, "", "0.1", "Ends the process."},
    {"pmemsave", &b::kMemorySaveArguments, b::pmemsave, false, kAnyStatus, "", "0.1",
     "Writes size bytes of guest-physical memory from address val to a file."},
    {"getfd", &b::kFdNameArguments, b::getfd, false, kAnyStatus, "", "0.1",
     "Gives a name to the descriptor that was sent along (SCM_RIGHTS), for the address fd:NAME."},
    {"closefd", &b::kFdNameArguments, b::closefd, false, kAnyStatus, "", "0.1",
     "Closes a descriptor named by getfd."},
    {"migrate", &m::kMigrateArguments, m::migrate, false, kAnyStatus, "", "0.1",
     "Begins to migrate the guest to uri or channels; returns when connecting has begun."},
    {"migrate-incoming", &m::kIncomingArguments, m::migrate_incoming, false, kAnyStatus, "", "0.1",
     "Begins to listen for a migration on uri or channels."},
    {"migrate_cancel", &kNoArguments, m::migrate_cancel, false, kAnyStatus & ~kPostcopy,
     "A migration in postcopy cannot be cancelled: the guest is split between both sides; use "
     "migrate-pause or "
     "recover it",
     "0.1", "Gives the running migration up; no effect if none runs."},
    {"migrate-continue", &m::kContinueArguments, m::migrate_continue, false, kAnyStatus, "", "0.1",
     "Goes on from the state that pause-before-switchover stops in."},
    {"query-migrate", &kNoArguments, m::query_migrate, false, kAnyStatus, "", "0.1",
     "State and statistics of the present or last migration."},
    {"migrate-set-capabilities", &m::kSetCapabilitiesArguments, m::set_capabilities, false,
     kNothingRunning, "There is a migration process in progress", "0.1",
     "Turns capabilities on and off, all or none of those given."},
    {"query-migrate-capabilities", &kNoArguments, m::query_capabilities, false, kAnyStatus, "",
     "0.1", "All capabilities with their state."},
    {"migrate-set-parameters", &m::kSetParametersArguments, m::set_parameters, false, kAnyStatus,
     "", "0.1", "Sets parameters, all or none of those given."},
    {"query-migrate-parameters", &kNoArguments, m::query_parameters, false, kAnyStatus, "", "0.1",
     "All parameters with their values."},
});

constexpr bool rows_are_sound() {
  for (size_t i = 0; i < kCommands.size(); ++i) {
    if (kCommands[i].name.empty() || kCommands[i].help.empty()) return false;
    if ((kCommands[i].permitted == kAnyStatus) != kCommands[i].refusal.empty()) return false;
    for (size_t k = 0; k < i; ++k) {
      if (kCommands[k].name == kCommands[i].name) return false;
    }
  }
  return true;
}
static_assert(rows_are_sound(), "a name used twice, no help, or a restriction without its text");

}  // namespace

const ArgType kNoArguments{.kind = Kind::object, .name = "q_empty"};

std::span<const CommandRow> command_table() noexcept { return kCommands; }

const CommandRow* find_command(std::string_view name) noexcept {
  const auto row = std::find_if(kCommands.begin(), kCommands.end(),
                                [&](const CommandRow& r) { return r.name == name; });
  return row == kCommands.end() ? nullptr : &*row;
}

bool offers_oob() noexcept {
  return std::any_of(kCommands.begin(), kCommands.end(),
                     [](const CommandRow& row) { return row.allow_oob; });
}

}  // namespace tern::qmp
