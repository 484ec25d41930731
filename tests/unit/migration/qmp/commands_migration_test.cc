// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/qmp/command_table.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

using Strings = std::vector<std::string>;

Json capability(const char* name, bool on) { return {{"capability", name}, {"state", on}}; }
Json capabilities(const Json& list) { return {{"capabilities", list}}; }

class MigrationCommands : public PlaneTest {
 protected:
  bool is_on(std::string_view name) {
    for (const Json& entry : value("query-migrate-capabilities")) {
      if (entry["capability"] == name) return entry["state"];
    }
    ADD_FAILURE() << "no capability " << name;
    return false;
  }
};

TEST_F(MigrationCommands, parameters_start_at_the_defaults_of_qmp) {
  create();
  const Json all = value("query-migrate-parameters");
  EXPECT_EQ(all.size(), params::kParameters.size());
  EXPECT_EQ(all["max-bandwidth"], 134217728);
  EXPECT_EQ(all["downtime-limit"], 300);
  EXPECT_EQ(all["avail-switchover-bandwidth"], 0);
  EXPECT_EQ(all["x-peer-version"], "tern");
  EXPECT_EQ(all["x-stall-timeout"], 60000);
}

TEST_F(MigrationCommands, a_machine_name_with_a_qemu_version_presets_the_peer) {
  machine_.name = "pc-q35-8.2";
  create();
  EXPECT_EQ(value("query-migrate-parameters")["x-peer-version"], "qemu-8.2");
}

TEST_F(MigrationCommands, every_parameter_that_is_set_reads_back) {
  create();
  for (const params::ParameterRow& row : params::kParameters) {
    Json wanted = row.max;
    if (row.type == SettingType::enumeration) wanted = row.words.words.back();
    if (row.type == SettingType::boolean) wanted = true;
    if (row.type == SettingType::string) wanted = std::string(row.max, 'x');
    EXPECT_EQ(value("migrate-set-parameters", {{row.name, wanted}}), kOk) << row.name;
    EXPECT_EQ(value("query-migrate-parameters")[std::string(row.name)], wanted) << row.name;
  }
}

TEST_F(MigrationCommands, one_bad_parameter_spoils_all_that_were_given) {
  create();
  EXPECT_NE(desc("migrate-set-parameters", {{"max-bandwidth", 1}, {"downtime-limit", 2000001}}),
            "");
  EXPECT_EQ(value("query-migrate-parameters")["max-bandwidth"], 134217728);
}

TEST_F(MigrationCommands, parameter_types_are_checked_as_qmp_does) {
  create();
  const auto fault = [this](const char* name, const Json& value) {
    return desc("migrate-set-parameters", {{name, value}});
  };
  EXPECT_EQ(fault("max-bandwidth", "1M"), "Parameter 'max-bandwidth' expects uint64");
  EXPECT_EQ(fault("max-bandwidth", -1), "Parameter 'max-bandwidth' expects uint64");
  EXPECT_EQ(fault("downtime-limit", 1.0), "Parameter 'downtime-limit' expects uint64");
  EXPECT_EQ(fault("x-stall-timeout", 4294967296), "Parameter 'x-stall-timeout' expects uint32_t");
  EXPECT_EQ(fault("x-peer-version", "qemu-1.0"),
            "Parameter 'x-peer-version' does not accept value 'qemu-1.0'");
  EXPECT_EQ(fault("max-postcopy-bandwidth", 2), "Parameter 'max-postcopy-bandwidth' is unexpected");
  EXPECT_EQ(value("migrate-set-parameters"), kOk);
}

TEST_F(MigrationCommands, all_capabilities_are_off_at_first) {
  create();
  const Json list = value("query-migrate-capabilities");
  EXPECT_EQ(list.size(), params::kCapabilities.size());
  for (const Json& entry : list) EXPECT_EQ(entry["state"], false) << entry;
}

TEST_F(MigrationCommands, capabilities_are_set_together_and_later_entries_win) {
  create();
  EXPECT_EQ(value("migrate-set-capabilities",
                  capabilities({capability("switchover-ack", true), capability("return-path", true),
                                capability("events", true), capability("events", false)})),
            kOk);
  EXPECT_TRUE(is_on("switchover-ack"));
  EXPECT_TRUE(is_on("return-path"));
  EXPECT_FALSE(is_on("events"));
  EXPECT_EQ(value("migrate-set-capabilities", capabilities(Json::array())), kOk);
}

TEST_F(MigrationCommands, a_set_that_does_not_go_together_changes_nothing) {
  create();
  EXPECT_NE(desc("migrate-set-capabilities", capabilities({capability("validate-uuid", true),
                                                           capability("switchover-ack", true)})),
            "");
  EXPECT_FALSE(is_on("validate-uuid"));
}

TEST_F(MigrationCommands, capability_arguments_are_checked_as_qmp_does) {
  create();
  EXPECT_EQ(desc("migrate-set-capabilities"), "Parameter 'capabilities' is missing");
  EXPECT_EQ(
      desc("migrate-set-capabilities", capabilities(Json::array({Json{{"capability", "events"}}}))),
      "Parameter 'capabilities[0].state' is missing");
  EXPECT_EQ(desc("migrate-set-capabilities",
                 capabilities(Json::array({capability("rdma-pin-all", true)}))),
            "Parameter 'capability' does not accept value 'rdma-pin-all'");
}

TEST_F(MigrationCommands, while_a_migration_runs_no_capability_changes) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  EXPECT_EQ(
      desc("migrate-set-capabilities", capabilities(Json::array({capability("events", true)}))),
      "There is a migration process in progress");
  source_.become(Status::cancelled);
  EXPECT_EQ(
      value("migrate-set-capabilities", capabilities(Json::array({capability("events", true)}))),
      kOk);
}

TEST_F(MigrationCommands, migrate_checks_the_address_before_the_state) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  EXPECT_EQ(desc("migrate").rfind("Give exactly one", 0), 0u);
  EXPECT_NE(desc("migrate", {{"uri", "tcp:h"}}), "There is a migration process in progress");
  EXPECT_EQ(desc("migrate", {{"uri", "tcp:h:1"}}), "There is a migration process in progress");
}

TEST_F(MigrationCommands, migrate_takes_channels_and_detach) {
  create();
  const Json main = {{"channel-type", "main"},
                     {"addr", {{"transport", "socket"}, {"type", "unix"}, {"path", "/x"}}}};
  EXPECT_EQ(value("migrate", {{"channels", {main}}, {"detach", true}}), kOk);
  EXPECT_EQ(source_.calls(), Strings{"start unix:/x"});
}

TEST_F(MigrationCommands, resume_is_unknown_while_no_engine_can_do_it) {
  create();
  EXPECT_EQ(desc("migrate", {{"uri", "tcp:h:1"}, {"resume", false}}),
            "Parameter 'resume' is unexpected");
}

TEST_F(MigrationCommands, uri_and_an_empty_channel_list_are_two_answers_to_one_question) {
  create();
  EXPECT_NE(desc("migrate", {{"uri", "tcp:h:1"}, {"channels", Json::array()}}), "");
  EXPECT_EQ(source_.calls(), Strings{});
}

TEST_F(MigrationCommands, a_blocker_refuses_migrate_with_its_reason_and_is_listed) {
  create();
  const BlockerId gpu = *plane_->add_migration_blocker("device 'gpu' cannot migrate");
  EXPECT_EQ(value("query-migrate")["blocked-reasons"],
            Json::array({"device 'gpu' cannot migrate"}));
  EXPECT_EQ(desc("migrate", {{"uri", "tcp:h:1"}}), "device 'gpu' cannot migrate");
  EXPECT_NE(desc("migrate", {{"uri", "foo"}}), "device 'gpu' cannot migrate")
      << "the address is looked at first";
  EXPECT_FALSE(value("query-migrate").contains("status"));
  plane_->remove_migration_blocker(gpu);
  EXPECT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  EXPECT_FALSE(plane_->add_migration_blocker("too late").has_value());
  source_.become(Status::failed);
  EXPECT_TRUE(plane_->add_migration_blocker("not too late").has_value());
}

TEST_F(MigrationCommands, threads_of_both_sides_are_listed) {
  create();
  EXPECT_EQ(value("query-migrationthreads"), Json::array());
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  EXPECT_EQ(value("query-migrationthreads"),
            Json::parse(R"([{"name":"mig/src/main","thread-id":4711}])"));
}

TEST_F(MigrationCommands, yank_knows_the_migration_from_its_start_to_its_end) {
  create();
  const Json migration = Json::parse(R"([{"type":"migration"}])");
  EXPECT_EQ(value("query-yank"), Json::array());
  const auto error_class = [this](const Json& instances) {
    return run("yank", {{"instances", instances}})["error"]["class"];
  };
  EXPECT_EQ(error_class(migration), "DeviceNotFound");
  EXPECT_EQ(error_class(Json::parse(R"([{"type":"chardev","id":"x"}])")), "DeviceNotFound");
  EXPECT_EQ(error_class(Json::parse(R"([{"type":"nosuch"}])")), "GenericError");
  EXPECT_EQ(value("yank", {{"instances", Json::array()}}), kOk);
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  EXPECT_EQ(value("query-yank"), migration);
  EXPECT_EQ(error_class(Json::parse(R"([{"type":"migration"},{"type":"chardev","id":"x"}])")),
            "DeviceNotFound");
  EXPECT_EQ(source_.calls(), Strings{"start tcp:h:1"}) << "all or nothing";
  EXPECT_EQ(value("yank", {{"instances", migration}}), kOk);
  EXPECT_EQ(source_.calls().back(), "yank");
  source_.become(Status::failed);
  EXPECT_EQ(value("query-yank"), Json::array());
}

TEST_F(MigrationCommands, an_unplug_request_is_told_whether_events_is_on_or_not) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  source_.unplug("net0");  // reaches nobody: no client is connected, and nothing breaks
  EXPECT_EQ(value("query-migrate")["status"], "setup");
}

TEST_F(MigrationCommands, announce_self_takes_qemus_arguments) {
  create();
  const Json good = {{"initial", 50}, {"max", 550}, {"rounds", 5}, {"step", 50}};
  EXPECT_EQ(value("announce-self", good), kOk) << "nobody to tell, as without a network device";
  Json bad = good;
  bad["rounds"] = -1;
  EXPECT_NE(desc("announce-self", bad), "");
  bad = good;
  bad.erase("step");
  EXPECT_EQ(desc("announce-self", bad), "Parameter 'step' is missing");
  bad = good;
  bad["interfaces"] = "net0";
  EXPECT_EQ(desc("announce-self", bad), "Invalid parameter type for 'interfaces', expected: array");
}

TEST_F(MigrationCommands, a_string_parameter_is_unset_by_null_and_never_read_as_null) {
  create();
  EXPECT_EQ(value("migrate-set-parameters", {{"x-thread-prefix", "vm1."}}), kOk);
  EXPECT_EQ(value("query-migrate-parameters")["x-thread-prefix"], "vm1.");
  EXPECT_EQ(value("migrate-set-parameters", {{"x-thread-prefix", nullptr}}), kOk);
  EXPECT_EQ(value("query-migrate-parameters")["x-thread-prefix"], "");
  EXPECT_EQ(desc("migrate-set-parameters", {{"x-thread-prefix", 1}}),
            "Invalid parameter type for 'x-thread-prefix', expected: StrOrNull");
  EXPECT_NE(desc("migrate-set-parameters", {{"x-thread-prefix", "much too long"}}), "");
}

TEST_F(MigrationCommands, an_embedder_may_start_from_settings_of_its_own) {
  Settings settings = qmp_settings();
  settings.downtime_limit = 77;
  settings.return_path = true;
  create({.settings = settings, .events = true});
  EXPECT_EQ(value("query-migrate-parameters")["downtime-limit"], 77);
  for (const Json& entry : value("query-migrate-capabilities")) {
    const bool on = entry["capability"] == "return-path" || entry["capability"] == "events";
    EXPECT_EQ(entry["state"], on) << entry;
  }
}

TEST_F(MigrationCommands, every_reply_is_what_introspection_promises) {
  create();
  for (const CommandRow& row : command_table()) {
    const bool needs_arguments =
        std::any_of(row.arguments->members.begin(), row.arguments->members.end(),
                    [](const QapiMember& m) { return !m.optional; });
    if (needs_arguments || row.name == "quit") continue;
    const Json reply = run(row.name);
    if (reply.contains("error")) continue;
    const Result<void> typed = check_value(reply["return"], *row.returns);
    EXPECT_TRUE(typed.has_value()) << row.name << ": " << typed.error().message();
  }
}

TEST_F(MigrationCommands, migrate_is_refused_after_the_guest_left_until_cont) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  ASSERT_TRUE(source_.vcpus().pause_all(RunState::finish_migrate).has_value());
  source_.vcpus().set_stopped_state(RunState::postmigrate);
  source_.become(Status::completed);
  EXPECT_NE(desc("migrate", {{"uri", "tcp:h:1"}}).find("cont"), std::string::npos);
  EXPECT_EQ(value("cont"), kOk);
  EXPECT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
}

TEST_F(MigrationCommands, a_destination_cannot_migrate_away_before_it_has_the_guest) {
  create({.incoming = "defer"});
  EXPECT_NE(desc("migrate", {{"uri", "tcp:h:1"}}), "");
  EXPECT_EQ(value("query-migrate"), kOk);
}

TEST_F(MigrationCommands, migrate_incoming_checks_the_state_before_the_address) {
  create();
  EXPECT_EQ(desc("migrate-incoming"), "This VM was not started to wait for an incoming migration");
}

TEST_F(MigrationCommands, migrate_incoming_listens_and_shows_where) {
  create({.incoming = "defer"});
  destination_.listening = {UnixAddress{"/tmp/m"}};
  EXPECT_EQ(value("migrate-incoming", {{"uri", "unix:/tmp/m"}, {"exit-on-error", false}}), kOk);
  EXPECT_EQ(value("query-migrate")["socket-address"],
            Json::parse(R"([{"type":"unix","path":"/tmp/m"}])"));
  EXPECT_EQ(desc("migrate-incoming", {{"uri", "unix:/tmp/m"}}),
            "The incoming migration has already been started");
  destination_.become(Status::failed, "x");
  EXPECT_EQ(vm_.failures(), Strings{});
}

TEST_F(MigrationCommands, migrate_cancel_is_always_fine_except_in_postcopy) {
  create();
  EXPECT_EQ(value("migrate_cancel"), kOk);
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  for (int i = 0; i < kStatusCount; ++i) {
    const auto status = static_cast<Status>(i);
    source_.become(status);
    const bool postcopy = to_string(status).starts_with("postcopy");
    EXPECT_EQ(desc("migrate_cancel").empty(), !postcopy) << to_string(status);
  }
}

TEST_F(MigrationCommands, migrate_continue_names_a_state) {
  create();
  EXPECT_EQ(desc("migrate-continue"), "Parameter 'state' is missing");
  EXPECT_EQ(desc("migrate-continue", {{"state", "xx"}}),
            "Parameter 'state' does not accept value 'xx'");
  for (int i = 0; i < kStatusCount; ++i) {
    const std::string word(to_string(static_cast<Status>(i)));
    EXPECT_EQ(desc("migrate-continue", {{"state", word}}).empty(), word == "none") << word;
  }
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  source_.become(Status::pre_switchover);
  EXPECT_EQ(value("migrate-continue", {{"state", "pre-switchover"}}), kOk);
  EXPECT_EQ(source_.calls().back(), "continue pre-switchover");
}

}  // namespace
}  // namespace tern::qmp
