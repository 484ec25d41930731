// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/control_plane.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

using Strings = std::vector<std::string>;

class ControlPlaneTest : public PlaneTest {};

TEST_F(ControlPlaneTest, a_machine_without_vcpus_or_with_its_own_events_is_refused) {
  Machine machine;
  EXPECT_FALSE(ControlPlaneImpl::create(machine, vm_, {}, {}).has_value());
  struct Sink final : EventSink {
    void on_event(const Event&) noexcept override {}
  } sink;
  machine.vcpus = &vcpus_;
  machine.events = &sink;
  EXPECT_FALSE(ControlPlaneImpl::create(machine, vm_, {}, {}).has_value());
}

TEST_F(ControlPlaneTest, an_ordinary_start_runs_the_guest) {
  create();
  EXPECT_TRUE(begun_);
  EXPECT_EQ(state(), "running");
  EXPECT_EQ(vcpus_.calls(), Strings{"resume"});
}

TEST_F(ControlPlaneTest, a_paused_start_waits_in_prelaunch) {
  create({.paused = true});
  EXPECT_EQ(state(), "prelaunch");
  EXPECT_EQ(vcpus_.calls(), Strings{});
}

TEST_F(ControlPlaneTest, an_incoming_address_is_listened_on_at_once) {
  create({.incoming = "tcp:127.0.0.1:0"});
  EXPECT_TRUE(begun_);
  EXPECT_EQ(state(), "inmigrate");
  EXPECT_EQ(destination_.calls(), Strings{"listen tcp:127.0.0.1:0"});
}

TEST_F(ControlPlaneTest, a_paused_incoming_start_clears_autostart) {
  create({.incoming = "tcp:h:1", .paused = true});
  ASSERT_TRUE(destination_.vcpus().resume_all().has_value());
  EXPECT_EQ(state(), "paused");
}

TEST_F(ControlPlaneTest, deferred_incoming_waits_for_the_command) {
  create({.incoming = "defer"});
  EXPECT_TRUE(begun_);
  EXPECT_EQ(state(), "inmigrate");
  EXPECT_EQ(destination_.calls(), Strings{});
}

TEST_F(ControlPlaneTest, a_bad_incoming_address_is_the_error_of_begin) {
  create({.incoming = "tcp:h"});
  EXPECT_FALSE(begun_);
}

TEST_F(ControlPlaneTest, a_whole_migration_walks_through_the_run_states) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  source_.become(Status::active);
  EXPECT_EQ(state(), "running");
  ASSERT_TRUE(source_.vcpus().pause_all(RunState::finish_migrate).has_value());
  EXPECT_EQ(state(), "finish-migrate");
  EXPECT_NE(desc("cont"), "");
  source_.vcpus().set_stopped_state(RunState::postmigrate);
  source_.become(Status::completed);
  EXPECT_EQ(state(), "postmigrate");
  EXPECT_EQ(value("query-migrate")["status"], "completed");
}

TEST_F(ControlPlaneTest, a_whole_incoming_migration_walks_through_the_run_states) {
  create({.incoming = "tcp:h:1"});
  destination_.become(Status::active);
  EXPECT_EQ(state(), "inmigrate");
  ASSERT_TRUE(destination_.vcpus().resume_all().has_value());
  destination_.become(Status::completed);
  EXPECT_EQ(state(), "running");
}

TEST_F(ControlPlaneTest, execute_speaks_json_without_negotiation_and_without_line_ends) {
  create();
  EXPECT_EQ(plane_->execute(R"({"execute":"query-name","id":7})"), R"({"id":7,"return":{}})");
  EXPECT_EQ(plane_->execute("nonsense").rfind("{\"error\":", 0), 0u);
}

TEST_F(ControlPlaneTest, a_guest_that_shuts_down_is_shut_down) {
  create();
  plane_->guest_shutdown();
  EXPECT_EQ(state(), "shutdown");
}

TEST_F(ControlPlaneTest, a_control_plane_may_die_with_its_migrations) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  plane_.reset();
  EXPECT_EQ(source_.destroyed(), 1);
}

// Commands, migration events and vCPU threads at the same time: nothing may wait for itself.
TEST_F(ControlPlaneTest, commands_and_migration_threads_do_not_lock_each_other_out) {
  create();
  ASSERT_EQ(value("migrate", {{"uri", "tcp:h:1"}}), kOk);
  std::atomic<bool> done{false};
  std::thread migration([&] {
    for (int i = 0; i < 300; ++i) {
      source_.become(Status::active);
      EXPECT_TRUE(source_.vcpus().pause_all(RunState::finish_migrate).has_value());
      source_.become(Status::pre_switchover);
      EXPECT_TRUE(source_.vcpus().resume_all().has_value());
    }
    done = true;
  });
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&, c] {
      while (!done) {
        for (const char* command : {"stop", "cont", "query-migrate", "query-status",
                                    "migrate_cancel", "query-migrate-parameters"}) {
          (void)run(command);
        }
        (void)run("migrate-set-parameters", {{"max-bandwidth", c}});
      }
    });
  }
  migration.join();
  for (std::thread& client : clients) client.join();
  const std::string last = state();
  EXPECT_TRUE(last == "running" || last == "paused") << last;
}

}  // namespace
}  // namespace tern::qmp
