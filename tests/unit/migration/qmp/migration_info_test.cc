// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/migration_info.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "migration/qmp/result_types.h"

namespace tern::qmp {
namespace {

using Names = std::set<std::string>;

Names names_of(const Json& object) {
  Names names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

Json outgoing(Status status, const std::string& error = "") {
  StatsSnapshot s;
  s.status = status;
  s.error_desc = error;
  return migration_info({nullptr, {}, &s});
}

const Names kShort = {"status", "x-tern"};
const Names kProgress = {"status", "x-tern", "setup-time", "total-time", "expected-downtime",
                         "ram"};
const Names kWithDowntime = {"status", "x-tern", "setup-time", "total-time", "downtime", "ram"};

struct Row {
  Status status;
  Names names;
};

class OutgoingMembers : public ::testing::TestWithParam<Row> {};

TEST_P(OutgoingMembers, are_those_of_the_state) {
  const Json info = outgoing(GetParam().status);
  EXPECT_EQ(names_of(info), GetParam().names);
  EXPECT_EQ(info["status"], std::string(to_string(GetParam().status)));
  Names with_error = GetParam().names;
  with_error.insert("error-desc");
  EXPECT_EQ(names_of(outgoing(GetParam().status, "why")), with_error);
}

INSTANTIATE_TEST_SUITE_P(
    MigrationInfo, OutgoingMembers,
    ::testing::Values(
        Row{Status::setup, kShort}, Row{Status::wait_unplug, kShort}, Row{Status::colo, kShort},
        Row{Status::failed, kShort}, Row{Status::failing, kShort}, Row{Status::cancelled, kShort},
        Row{Status::active, kProgress}, Row{Status::cancelling, kProgress},
        Row{Status::pre_switchover, kProgress}, Row{Status::device, kProgress},
        Row{Status::completed, kWithDowntime}, Row{Status::postcopy_device, kWithDowntime},
        Row{Status::postcopy_active, kWithDowntime}, Row{Status::postcopy_paused, kWithDowntime},
        Row{Status::postcopy_recover_setup, kWithDowntime},
        Row{Status::postcopy_recover, kWithDowntime}));

TEST(MigrationInfo, nothing_is_shown_before_anything_was_asked_for) {
  const StatsSnapshot none;
  EXPECT_EQ(migration_info({}), Json::object());
  EXPECT_EQ(migration_info({&none, {}, &none}), Json::object());
}

TEST(MigrationInfo, ram_has_every_member_of_qemu_with_its_value) {
  StatsSnapshot s;
  s.status = Status::active;
  s.total_time = Milliseconds{531};
  s.setup_time = Milliseconds{2};
  s.expected_downtime = Milliseconds{300};
  s.transferred = 1;
  s.remaining = 2;
  s.total = 3;
  s.duplicate = 4;
  s.normal = 5;
  s.normal_bytes = 6;
  s.dirty_pages_rate = 7;
  s.mbps = 168.5;
  s.pages_per_second = 8;
  s.dirty_sync_count = 9;
  s.precopy_bytes = 10;
  s.downtime_bytes = 11;
  const Json info = migration_info({nullptr, {}, &s});
  EXPECT_EQ(info["total-time"], 531);
  EXPECT_EQ(info["setup-time"], 2);
  EXPECT_EQ(info["expected-downtime"], 300);
  EXPECT_EQ(info["ram"], Json::parse(R"({"transferred":1,"remaining":2,"total":3,"duplicate":4,
      "skipped":0,"normal":5,"normal-bytes":6,"page-size":4096,"dirty-pages-rate":7,"mbps":168.5,
      "pages-per-second":8,"dirty-sync-count":9,"postcopy-requests":0,"multifd-bytes":0,
      "precopy-bytes":10,"downtime-bytes":11,"postcopy-bytes":0,
      "dirty-sync-missed-zero-copy":0})"));
}

TEST(MigrationInfo, when_completed_nothing_remains_and_nothing_is_dirtied) {
  StatsSnapshot s;
  s.status = Status::completed;
  s.remaining = 4096;
  s.dirty_pages_rate = 10;
  s.downtime = Milliseconds{27};
  const Json info = migration_info({nullptr, {}, &s});
  EXPECT_EQ(info["ram"]["remaining"], 0);
  EXPECT_EQ(info["ram"]["dirty-pages-rate"], 0);
  EXPECT_EQ(info["downtime"], 27);
}

TEST(MigrationInfo, what_qemu_has_no_word_for_stands_under_x_tern) {
  StatsSnapshot s;
  s.status = Status::completed;
  s.ending = Ending::handed_over;
  s.downtime_phases.stop_vcpus = Nanoseconds{1};
  s.downtime_phases.paused = Nanoseconds{2};
  s.downtime_phases.final_sync = Nanoseconds{3};
  s.downtime_phases.last_pages = Nanoseconds{4};
  s.downtime_phases.device_save = Nanoseconds{5};
  s.downtime_phases.peer_load = Nanoseconds{6};
  s.switchover = {7, 8, 9, 10, 11, 12, 13, 14};
  s.throttle = {0, 30, 70000, {{Milliseconds{1000}, 20}, {Milliseconds{3000}, 0}}};
  s.tracker = "kvm-bitmap";
  s.hole_finder = "pagemap";
  s.page_ops = "avx2";
  s.peer = "tern 0.1";
  s.transport = "tcp:h:1";
  s.never_touched_bytes = 12;
  EXPECT_EQ(migration_info({nullptr, {}, &s})["x-tern"], Json::parse(R"({
      "ending":"handed-over",
      "downtime-ns":{"stop-vcpus":1,"paused":2,"final-sync":3,"last-pages":4,"device-save":5,
                     "peer-load":6,"total":21},
      "switchover":{"bandwidth":7,"dirty-rate":8,"pending-bytes":9,"threshold-bytes":10,
                    "overhead":11,"expected-downtime":12,"final-dirty-bytes":13,
                    "measured-bandwidth":14},
      "throttle":{"highest-percentage":30,"percent-ms":70000,
                  "course":[{"time":1000,"percentage":20},{"time":3000,"percentage":0}]},
      "tracker":"kvm-bitmap","hole-finder":"pagemap","page-ops":"avx2","peer":"tern 0.1",
      "transport":"tcp:h:1","never-touched-bytes":12})"));
}

TEST(MigrationInfo, a_destination_shows_status_addresses_and_error) {
  StatsSnapshot s;
  s.status = Status::setup;
  const std::array<Address, 1> bound = {UnixAddress{"/tmp/m"}};
  const Json listening = migration_info({&s, bound, nullptr});
  EXPECT_EQ(names_of(listening), (Names{"status", "socket-address", "x-tern"}));
  s.status = Status::failed;
  s.error_desc = "why";
  const Json failed = migration_info({&s, {}, nullptr});
  EXPECT_EQ(names_of(failed), (Names{"status", "error-desc", "x-tern"}));
}

TEST(MigrationInfo, an_outgoing_migration_wins_over_the_incoming_one) {
  StatsSnapshot in;
  in.status = Status::completed;
  StatsSnapshot out;
  EXPECT_EQ(migration_info({&in, {}, &out})["status"], "completed");
  out.status = Status::active;
  EXPECT_EQ(migration_info({&in, {}, &out})["status"], "active");
}

TEST(MigrationInfo, blocked_reasons_are_shown_in_every_state_while_there_are_any) {
  for (int i = 0; i < kStatusCount; ++i) {
    StatsSnapshot out;
    out.status = static_cast<Status>(i);
    EXPECT_FALSE(migration_info({nullptr, {}, &out, {}}).contains("blocked-reasons"));
    EXPECT_EQ(migration_info({nullptr, {}, &out, {"gpu", "disk"}})["blocked-reasons"],
              Json::array({"gpu", "disk"}));
  }
}

TEST(MigrationInfo, is_in_every_state_what_introspection_says) {
  for (int i = 0; i < kStatusCount; ++i) {
    StatsSnapshot stats;
    stats.status = static_cast<Status>(i);
    stats.error_desc = "x";
    const std::vector<Address> listening = {parse_uri("tcp:[::1]:1").value(),
                                            parse_uri("unix:/x").value(),
                                            parse_uri("vsock:3:4").value()};
    const Json info = migration_info({&stats, listening, &stats, {"gpu"}});
    const bool offered = std::find(types::kOfferedStatuses.begin(), types::kOfferedStatuses.end(),
                                   stats.status) != types::kOfferedStatuses.end();
    if (!offered) continue;
    const Result<void> typed = check_value(info, types::kMigrationInfo);
    EXPECT_TRUE(typed.has_value()) << typed.error().message();
  }
}

}  // namespace
}  // namespace tern::qmp
