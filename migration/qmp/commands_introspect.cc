// SPDX-License-Identifier: Apache-2.0
//
// The commands that tell what this server has.
#include "migration/qmp/command_table.h"
#include "migration/qmp/event_table.h"
#include "migration/qmp/schema.h"

namespace tern::qmp::introspect_commands {

Outcome query_version(Call& call) { return version_json(call.plane.version); }

Outcome query_commands(Call&) {
  Json list = Json::array();
  for (const CommandRow& row : command_table()) list.push_back({{"name", row.name}});
  return list;
}

Outcome query_events(Call&) {
  Json list = Json::array();
  for (const EventRow& row : event_table()) list.push_back({{"name", row.name}});
  return list;
}

Outcome query_qmp_schema(Call&) { return schema_json(); }

}  // namespace tern::qmp::introspect_commands
