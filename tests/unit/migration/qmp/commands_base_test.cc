// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "migration/qmp/command_table.h"
#include "tern/version.h"
#include "tests/doubles/devices.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

class BaseCommands : public PlaneTest {};

TEST_F(BaseCommands, the_version_is_told_the_way_clients_print_it) {
  create();
  EXPECT_EQ(value("query-version"), Json({{"qemu",
                                           {{"major", TERN_VERSION_MAJOR},
                                            {"minor", TERN_VERSION_MINOR},
                                            {"micro", TERN_VERSION_MICRO}}},
                                          {"package", "tern " TERN_VERSION_STRING}}));
}

TEST_F(BaseCommands, every_command_is_listed_and_exists) {
  create();
  std::set<std::string> names;
  for (const Json& entry : value("query-commands")) names.insert(entry["name"]);
  EXPECT_EQ(names.size(), command_table().size());
  for (const char* name :
       {"qmp_capabilities", "query-status", "stop", "cont", "quit", "query-name", "query-uuid",
        "migrate", "migrate-incoming", "migrate_cancel", "migrate-continue", "query-migrate",
        "migrate-set-parameters", "query-migrate-parameters", "migrate-set-capabilities",
        "query-migrate-capabilities", "pmemsave", "getfd", "closefd"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

TEST_F(BaseCommands, status_is_running_only_when_the_guest_runs) {
  create({.paused = true});
  EXPECT_EQ(value("query-status"),
            Json::parse(R"({"status":"prelaunch","running":false,"singlestep":false})"));
  EXPECT_EQ(value("cont"), kOk);
  EXPECT_EQ(value("query-status")["status"], "running");
  EXPECT_EQ(value("query-status")["running"], true);
  EXPECT_EQ(value("stop"), kOk);
  EXPECT_EQ(value("query-status")["status"], "paused");
}

TEST_F(BaseCommands, the_name_is_absent_when_there_is_none) {
  create();
  EXPECT_EQ(value("query-name"), kOk);
  vm_.vm_name = "v";
  EXPECT_EQ(value("query-name"), Json({{"name", "v"}}));
}

TEST_F(BaseCommands, a_uuid_is_shown_in_its_usual_form) {
  create();
  EXPECT_EQ(value("query-uuid")["UUID"], "00000000-0000-0000-0000-000000000000");
  machine_.uuid = Uuid{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                       0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
  create();
  EXPECT_EQ(value("query-uuid")["UUID"], "01234567-89ab-cdef-fedc-ba9876543210");
}

TEST_F(BaseCommands, quit_ends_the_process_after_its_reply) {
  create();
  EXPECT_EQ(value("quit"), kOk);
  EXPECT_EQ(vm_.quits, 1);
}

TEST_F(BaseCommands, in_inmigrate_stop_and_cont_decide_whether_the_guest_will_start) {
  create({.incoming = "tcp:h:1"});
  EXPECT_EQ(value("stop"), kOk);
  EXPECT_EQ(value("cont"), kOk);
  EXPECT_EQ(state(), "inmigrate");
  EXPECT_EQ(value("stop"), kOk);
  ASSERT_TRUE(destination_.vcpus().resume_all().has_value());
  EXPECT_EQ(state(), "paused") << "the last word counts";
}

TEST_F(BaseCommands, query_kvm_says_what_the_vmm_says) {
  vm_.under_kvm = true;
  create();
  EXPECT_EQ(value("query-kvm"), Json::parse(R"({"enabled":true,"present":true})"));
  vm_.under_kvm = false;
  EXPECT_EQ(value("query-kvm")["enabled"], false);
}

TEST_F(BaseCommands, the_version_may_be_another_for_clients_that_decide_by_it) {
  create({.version = QmpVersion{8, 2, 1}});
  EXPECT_EQ(value("query-version")["qemu"], Json::parse(R"({"major":8,"minor":2,"micro":1})"));
}

TEST_F(BaseCommands, query_events_lists_what_the_schema_has) {
  create();
  std::vector<std::string> names;
  for (const Json& entry : value("query-events")) names.push_back(entry["name"]);
  EXPECT_NE(std::find(names.begin(), names.end(), "UNPLUG_PRIMARY"), names.end());
}

TEST_F(BaseCommands, a_guest_that_came_here_stopped_is_announced_by_its_first_cont_only) {
  test::CountingNetwork network;
  machine_.announcer = &network;
  Settings settings = qmp_settings();
  settings.announce_rounds = 1;
  create({.incoming = "tcp:h:1", .paused = true, .settings = settings});
  ASSERT_TRUE(destination_.vcpus().resume_all().has_value());
  destination_.become(Status::completed);
  ASSERT_EQ(state(), "paused");
  EXPECT_EQ(network.count(), 0);
  EXPECT_EQ(value("cont"), kOk);
  network.wait_for(1);
  EXPECT_EQ(value("stop"), kOk);
  EXPECT_EQ(value("cont"), kOk);
  plane_.reset();
  EXPECT_EQ(network.count(), 1);
}

TEST_F(BaseCommands, pmemsave_writes_guest_memory) {
  std::vector<std::byte> memory(4096, std::byte{'m'});
  ram_.push_back({.idstr = "m", .host = memory.data(), .used_bytes = memory.size()});
  create();
  const std::string path = ::testing::TempDir() + "tern-pmemsave-" + std::to_string(::getpid());
  EXPECT_EQ(value("pmemsave", {{"val", 0}, {"size", 4096}, {"filename", path}}), kOk);
  std::ifstream file(path, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), std::string(4096, 'm'));
  std::remove(path.c_str());
}

TEST_F(BaseCommands, pmemsave_refuses_what_is_not_memory) {
  create();
  EXPECT_NE(desc("pmemsave", {{"val", -1}, {"size", 1}, {"filename", "/dev/null"}}), "");
  EXPECT_NE(desc("pmemsave", {{"val", 0}, {"size", -1}, {"filename", "/dev/null"}}), "");
  EXPECT_NE(desc("pmemsave", {{"val", 0}, {"size", 1}, {"filename", "/dev/null"}}), "");
  EXPECT_EQ(desc("pmemsave", {{"val", 0}, {"size", 1}}), "Parameter 'filename' is missing");
}

TEST_F(BaseCommands, a_descriptor_needs_a_connection_that_brings_it) {
  create();
  EXPECT_EQ(desc("getfd", {{"fdname", "x"}}), "No file descriptor supplied via SCM_RIGHTS");
  EXPECT_NE(desc("closefd", {{"fdname", "x"}}), "");
}

}  // namespace
}  // namespace tern::qmp
