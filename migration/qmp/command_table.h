// SPDX-License-Identifier: Apache-2.0
//
// Every QMP command as one row: its arguments, when it is allowed, what it does. Dispatch,
// query-commands and the documentation are made from these rows; a command is added by adding a row
// and its handler.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "migration/qmp/arg_types.h"
#include "migration/qmp/event_hub.h"
#include "migration/qmp/fd_table.h"
#include "migration/qmp/migrations.h"
#include "migration/qmp/outcome.h"
#include "migration/qmp/run_states.h"
#include "tern/machine.h"
#include "tern/qmp.h"

namespace tern::qmp {

/// A set of migration states (of the outgoing side).
using StatusMask = uint32_t;
constexpr StatusMask bit(Status status) noexcept { return 1u << static_cast<unsigned>(status); }
inline constexpr StatusMask kAnyStatus = (1u << kStatusCount) - 1;
inline constexpr StatusMask kNothingRunning =
    bit(Status::none) | bit(Status::completed) | bit(Status::failed) | bit(Status::cancelled);
inline constexpr StatusMask kPostcopy =
    bit(Status::postcopy_device) | bit(Status::postcopy_active) | bit(Status::postcopy_paused) |
    bit(Status::postcopy_recover_setup) | bit(Status::postcopy_recover);

/// What a connection is to the commands.
struct Session {
  bool negotiated = false;
  bool oob = false;
  ReceivedFds fds;
};

/// What commands act on.
struct Plane {
  const Machine& machine;
  QmpVm& vm;
  EventHub& hub;
  RunStates& run_states;
  FdTable& fds;
  Migrations& migrations;
};

struct CommandRow;

/// One command being executed, under the command lock.
struct Call {
  Plane& plane;
  Session& session;
  const CommandRow& row;
  const Json& arguments;  // an object that passed the row's type
  /// Set by a handler: call QmpVm::quit when the reply is on its way.
  bool quit = false;
};

using Handler = Outcome (*)(Call&);

struct CommandRow {
  std::string_view name;
  const ArgType* arguments;
  Handler handler;
  bool allow_oob;
  /// In other states the command is refused with `refusal`, after its arguments were checked.
  StatusMask permitted;
  std::string_view refusal;
  std::string_view since;
  std::string_view help;
};

std::span<const CommandRow> command_table() noexcept;
/// nullptr for an unknown name.
const CommandRow* find_command(std::string_view name) noexcept;
/// Whether any command can be executed out of band; the greeting says so.
bool offers_oob() noexcept;

/// {"qemu": {"major", "minor", "micro"}, "package"}.
Json version_json() noexcept;

// Types of arguments that commands share.
extern const ArgType kNoArguments;

// Handlers, by file.
namespace base_commands {  // commands_base.cc
extern const ArgType kNegotiateArguments;
extern const ArgType kMemorySaveArguments;
extern const ArgType kFdNameArguments;
Outcome qmp_capabilities(Call& call);
Outcome query_version(Call& call);
Outcome query_commands(Call& call);
Outcome query_status(Call& call);
Outcome query_name(Call& call);
Outcome query_uuid(Call& call);
Outcome query_target(Call& call);
Outcome stop(Call& call);
Outcome cont(Call& call);
Outcome quit(Call& call);
Outcome pmemsave(Call& call);
Outcome getfd(Call& call);
Outcome closefd(Call& call);
}  // namespace base_commands

namespace migration_commands {  // commands_migration.cc
extern const ArgType kMigrateArguments;
extern const ArgType kIncomingArguments;
extern const ArgType kContinueArguments;
extern const ArgType kSetCapabilitiesArguments;
extern const ArgType kSetParametersArguments;
Outcome migrate(Call& call);
Outcome migrate_incoming(Call& call);
Outcome migrate_cancel(Call& call);
Outcome migrate_continue(Call& call);
Outcome query_migrate(Call& call);
Outcome set_capabilities(Call& call);
Outcome query_capabilities(Call& call);
Outcome set_parameters(Call& call);
Outcome query_parameters(Call& call);
}  // namespace migration_commands

}  // namespace tern::qmp
