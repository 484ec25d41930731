// SPDX-License-Identifier: Apache-2.0
//
// Every QMP command as one row: its arguments, when it is allowed, what it does. Dispatch,
// query-commands and the documentation are made from these rows; a command is added by adding a row
// and its handler.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "migration/qmp/announcements.h"
#include "migration/qmp/event_hub.h"
#include "migration/qmp/fd_table.h"
#include "migration/qmp/migrations.h"
#include "migration/qmp/outcome.h"
#include "migration/qmp/qapi_type.h"
#include "migration/qmp/run_states.h"
#include "migration/state/status_mask.h"
#include "tern/dirty_rate.h"
#include "tern/machine.h"
#include "tern/objects.h"
#include "tern/qmp.h"

namespace tern::qmp {

/// What a connection is to the commands.
struct Session {
  bool negotiated = false;
  bool oob = false;
};

/// What commands act on.
struct Plane {
  const Machine& machine;
  QmpVm& vm;
  EventHub& hub;
  RunStates& run_states;
  FdTable& fds;
  Migrations& migrations;
  Announcements& announcements;
  ObjectStore& objects;
  LogSink& log;
  QmpVersion version;
  /// Commands run on a dispatcher of the VMM's, so that others can overtake them.
  bool offers_oob;
  DirtyRateMeter* dirty_rate = nullptr;  ///< nullptr: there is no RAM that could be measured
};

struct CommandRow;

/// One command being executed, under the command lock unless it is executed out of band.
struct Call {
  Plane& plane;
  Session& session;
  const CommandRow& row;
  const Json& arguments;  // an object that passed the row's type
  Fd& fd;                 // that came with the request; empty if none
  /// Set by a handler: call QmpVm::quit when the reply is on its way.
  bool quit = false;
};

using Handler = Outcome (*)(Call&);

struct CommandRow {
  std::string_view name;
  const QapiType* arguments;
  const QapiType* returns;
  Handler handler;
  /// May run on a connection's thread while another command hangs: the handler takes no lock that
  /// is held for long, and is permitted in any state.
  bool allow_oob;
  /// In other states the command is refused with `refusal`, after its arguments were checked.
  StatusMask permitted;
  std::string_view refusal;
  std::string_view since;
  Features features;
  std::string_view help;
};

std::span<const CommandRow> command_table() noexcept;
/// nullptr for an unknown name.
const CommandRow* find_command(std::string_view name) noexcept;

/// {"qemu": {"major", "minor", "micro"}, "package"}.
Json version_json(const QmpVersion& version) noexcept;

// Handlers, by file.
namespace base_commands {  // commands_base.cc
extern const QapiType kNegotiateArguments;
extern const QapiType kMemorySaveArguments;
extern const QapiType kFdNameArguments;
Outcome qmp_capabilities(Call& call);
Outcome query_status(Call& call);
Outcome query_name(Call& call);
Outcome query_uuid(Call& call);
Outcome query_target(Call& call);
Outcome query_kvm(Call& call);
Outcome stop(Call& call);
Outcome cont(Call& call);
Outcome quit(Call& call);
Outcome pmemsave(Call& call);
Outcome getfd(Call& call);
Outcome closefd(Call& call);
}  // namespace base_commands

namespace introspect_commands {  // commands_introspect.cc
Outcome query_version(Call& call);
Outcome query_commands(Call& call);
Outcome query_events(Call& call);
Outcome query_qmp_schema(Call& call);
}  // namespace introspect_commands

namespace migration_commands {  // commands_migration.cc
extern const QapiType kMigrateArguments;
extern const QapiType kIncomingArguments;
extern const QapiType kContinueArguments;
extern const QapiType kSetCapabilitiesArguments;
extern const QapiType kCapabilityList;
extern const QapiType kYankArguments;
extern const QapiType kAnnounceArguments;
Outcome migrate(Call& call);
Outcome migrate_incoming(Call& call);
Outcome migrate_cancel(Call& call);
Outcome migrate_continue(Call& call);
Outcome query_migrate(Call& call);
Outcome set_capabilities(Call& call);
Outcome query_capabilities(Call& call);
Outcome set_parameters(Call& call);
Outcome query_parameters(Call& call);
Outcome query_threads(Call& call);
Outcome query_yank(Call& call);
Outcome yank(Call& call);
Outcome announce_self(Call& call);
}  // namespace migration_commands

namespace dirty_limit_commands {  // commands_dirty_limit.cc
extern const QapiType kSetArguments;
extern const QapiType kCancelArguments;
Outcome set_limit(Call& call);
Outcome cancel_limit(Call& call);
Outcome query_limits(Call& call);
}  // namespace dirty_limit_commands
namespace dirty_commands {  // commands_dirty.cc
extern const QapiType kCalcArguments;
extern const QapiType kQueryArguments;
Outcome calc_dirty_rate(Call& call);
Outcome query_dirty_rate(Call& call);
}  // namespace dirty_commands

namespace object_commands {  // commands_objects.cc
extern const QapiType kIdArguments;
extern const QapiType kPathArguments;
Outcome object_add(Call& call);
Outcome object_del(Call& call);
Outcome qom_list(Call& call);
}  // namespace object_commands

}  // namespace tern::qmp
