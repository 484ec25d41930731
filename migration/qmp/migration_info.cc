// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/migration_info.h"

#include <string>

#include "migration/qmp/address_arg.h"

namespace tern::qmp {
namespace {

bool in_postcopy(Status status) noexcept {
  switch (status) {
    case Status::postcopy_device:
    case Status::postcopy_active:
    case Status::postcopy_paused:
    case Status::postcopy_recover_setup:
    case Status::postcopy_recover:
      return true;
    default:
      return false;
  }
}

// States in which times and RAM counters are shown.
bool shows_progress(Status status) noexcept {
  switch (status) {
    case Status::active:
    case Status::pre_switchover:
    case Status::device:
    case Status::cancelling:
    case Status::completed:
      return true;
    default:
      return in_postcopy(status);
  }
}

Json ram_json(const StatsSnapshot& s) noexcept {
  const bool over = s.status == Status::completed;
  // Counters of things that this program does not do are 0, which is true; clients written for QEMU
  // read all of them.
  return {{"transferred", s.transferred},
          {"remaining", over ? 0 : s.remaining},
          {"total", s.total},
          {"duplicate", s.duplicate},
          {"skipped", 0},
          {"normal", s.normal},
          {"normal-bytes", s.normal_bytes},
          {"page-size", s.page_size},
          {"dirty-pages-rate", over ? 0 : s.dirty_pages_rate},
          {"mbps", s.mbps},
          {"pages-per-second", s.pages_per_second},
          {"dirty-sync-count", s.dirty_sync_count},
          {"postcopy-requests", 0},
          {"multifd-bytes", 0},
          {"precopy-bytes", s.precopy_bytes},
          {"downtime-bytes", s.downtime_bytes},
          {"postcopy-bytes", 0},
          {"dirty-sync-missed-zero-copy", 0}};
}

Json tern_json(const StatsSnapshot& s) noexcept {
  const DowntimePhases& d = s.downtime_phases;
  return {{"ending", to_string(s.ending)},
          {"downtime-ns",
           {{"stop-vcpus", d.stop_vcpus.count()},
            {"paused", d.paused.count()},
            {"final-sync", d.final_sync.count()},
            {"last-pages", d.last_pages.count()},
            {"device-save", d.device_save.count()},
            {"peer-load", d.peer_load.count()},
            {"total", d.total().count()}}},
          {"switchover",
           {{"bandwidth", s.switchover.bandwidth},
            {"pending-bytes", s.switchover.pending_bytes},
            {"threshold-bytes", s.switchover.threshold_bytes},
            {"expected-downtime", s.switchover.expected_downtime_ms},
            {"final-dirty-bytes", s.switchover.final_dirty_bytes}}},
          {"tracker", s.tracker},
          {"hole-finder", s.hole_finder},
          {"page-ops", s.page_ops},
          {"peer", s.peer},
          {"transport", s.transport},
          {"never-touched-bytes", s.never_touched_bytes}};
}

void put_outgoing(const StatsSnapshot& s, Json& info) noexcept {
  info["status"] = to_string(s.status);
  if (shows_progress(s.status)) {
    info["setup-time"] = s.setup_time.count();
    info["total-time"] = s.total_time.count();
    if (s.status == Status::completed || in_postcopy(s.status)) {
      info["downtime"] = s.downtime.value_or(Milliseconds{0}).count();
    } else {
      info["expected-downtime"] = s.expected_downtime.value_or(Milliseconds{0}).count();
    }
    info["ram"] = ram_json(s);
  }
  if (!s.error_desc.empty()) info["error-desc"] = s.error_desc;
  info["x-tern"] = tern_json(s);
}

}  // namespace

bool is_running(Status status) noexcept {
  switch (status) {
    case Status::none:
    case Status::completed:
    case Status::failed:
    case Status::cancelled:
      return false;
    default:
      return true;
  }
}

Json migration_info(const MigrationSides& sides) noexcept {
  Json info = Json::object();
  if (sides.incoming != nullptr && sides.incoming->status != Status::none) {
    info["status"] = to_string(sides.incoming->status);
    if (!sides.incoming->error_desc.empty()) info["error-desc"] = sides.incoming->error_desc;
    info["x-tern"] = tern_json(*sides.incoming);
  }
  if (!sides.listening.empty()) info["socket-address"] = socket_addresses(sides.listening);
  if (sides.outgoing != nullptr && sides.outgoing->status != Status::none) {
    put_outgoing(*sides.outgoing, info);
  }
  return info;
}

}  // namespace tern::qmp
