// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/event_table.h"

#include <array>

#include "migration/qmp/result_types.h"

namespace tern::qmp {
namespace {

constexpr auto kEvents = std::to_array<EventRow>({
    {"MIGRATION", &types::kMigrationEvent, "events", "0.1",
     "The migration, outgoing or incoming, is in another state."},
    {"MIGRATION_PASS", &types::kPassEvent, "events", "0.1",
     "Dirty pages were collected; pass is dirty-sync-count."},
    {"UNPLUG_PRIMARY", &types::kUnplugEvent, "", "0.2",
     "The guest is asked to let go of a device that cannot migrate."},
    {"STOP", &kEmpty, "", "0.1", "The guest stands still."},
    {"RESUME", &kEmpty, "", "0.1", "The guest runs."},
    {"SHUTDOWN", &types::kShutdownEvent, "", "0.1",
     "The guest ended by itself, or the process is about to end."},
});

}  // namespace

std::span<const EventRow> event_table() noexcept { return kEvents; }

const EventRow* find_event(std::string_view name) noexcept {
  for (const EventRow& row : kEvents) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace tern::qmp
