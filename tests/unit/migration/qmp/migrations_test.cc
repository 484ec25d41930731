// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/migrations.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "migration/params/parameters.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

using Strings = std::vector<std::string>;

class MigrationsTest : public ::testing::Test {
 protected:
  MigrationsTest() {
    machine_.vcpus = &states_;
    EngineFactory factory;
    factory.source = [this](const Machine& machine,
                            const Settings& settings) -> Result<std::unique_ptr<MigrationSource>> {
      source_.attach(machine, settings);
      return std::unique_ptr<MigrationSource>(new ScriptedSource(source_));
    };
    factory.destination =
        [this](const Machine& machine,
               const Settings& settings) -> Result<std::unique_ptr<MigrationDestination>> {
      destination_.attach(machine, settings);
      return std::unique_ptr<MigrationDestination>(new ScriptedDestination(destination_));
    };
    migrations_ = std::make_unique<Migrations>(
        Migrations::Parts{machine_, vm_, hub_, states_, fds_, blockers_, log_, std::move(factory),
                          params::qmp_defaults(), false, true});
  }
  static Address uri(const char* text) { return parse_uri(text).value(); }

  ManualClock clock_;
  EventHub hub_{clock_};
  LogRecorder log_;
  RecordingVcpus vcpus_;
  RecordingVm vm_;
  RunStates states_{vcpus_, hub_, log_};
  FdTable fds_;
  Blockers blockers_;
  Machine machine_;
  EngineScript source_;
  EngineScript destination_;
  std::unique_ptr<Migrations> migrations_;
};

TEST_F(MigrationsTest, a_migration_starts_with_the_settings_of_that_moment) {
  Settings wanted = migrations_->settings();
  wanted.downtime_limit = 17;
  ASSERT_TRUE(migrations_->set_parameters(wanted).has_value());
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  EXPECT_EQ(source_.settings().downtime_limit, 17u);
  EXPECT_EQ(source_.settings().max_bandwidth, 134217728u);
  EXPECT_EQ(source_.calls(), Strings{"start tcp:h:1"});
  EXPECT_EQ(migrations_->outgoing().status, Status::setup);
}

TEST_F(MigrationsTest, a_second_one_is_refused_in_every_state_that_counts_as_running) {
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  for (int i = 0; i < kStatusCount; ++i) {
    const auto status = static_cast<Status>(i);
    source_.become(status);
    const bool at_rest = status == Status::none || status == Status::completed ||
                         status == Status::failed || status == Status::cancelled;
    EXPECT_EQ(migrations_->may_start().has_value(), at_rest) << to_string(status);
  }
}

TEST_F(MigrationsTest, the_finished_one_is_destroyed_by_the_next_start) {
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  source_.become(Status::failed, "first");
  EXPECT_EQ(source_.destroyed(), 0);
  EXPECT_EQ(migrations_->outgoing().error_desc, "first");
  ASSERT_TRUE(migrations_->start(uri("tcp:h:2")).has_value());
  EXPECT_EQ(source_.destroyed(), 1);
  EXPECT_EQ(migrations_->outgoing().status, Status::setup);
}

TEST_F(MigrationsTest, an_address_that_can_never_work_leaves_the_last_result_visible) {
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  source_.become(Status::cancelled);
  source_.on_start = [](const Address&) -> Result<void> {
    return Error(ErrorCode::invalid_argument, "never");
  };
  EXPECT_FALSE(migrations_->start(uri("tcp:h:2")).has_value());
  EXPECT_EQ(migrations_->outgoing().status, Status::cancelled);
}

TEST_F(MigrationsTest, what_fails_at_once_is_the_reply_and_the_status) {
  source_.on_start = [this](const Address&) -> Result<void> {
    source_.become(Status::setup);
    source_.become(Status::failed, "no shell");
    return Error(ErrorCode::channel, "no shell");
  };
  const Result<void> started = migrations_->start(uri("exec:x"));
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().message(), "no shell");
  EXPECT_EQ(migrations_->outgoing().status, Status::failed);
  EXPECT_EQ(migrations_->outgoing().error_desc, "no shell");
}

TEST_F(MigrationsTest, a_descriptor_that_was_never_given_fails_as_a_migration) {
  EXPECT_FALSE(migrations_->start(uri("fd:mig")).has_value());
  EXPECT_EQ(migrations_->outgoing().status, Status::failed);
  EXPECT_NE(migrations_->outgoing().error_desc, "");
  EXPECT_EQ(source_.created(), 0);
}

TEST_F(MigrationsTest, a_named_descriptor_becomes_its_number_and_belongs_to_the_migration) {
  Fd fd(::eventfd(0, EFD_CLOEXEC));
  const int number = fd.get();
  ASSERT_TRUE(fds_.put("mig", std::move(fd)).has_value());
  ASSERT_TRUE(migrations_->start(uri("fd:mig")).has_value());
  EXPECT_EQ(source_.calls(), Strings{"start fd:" + std::to_string(number)});
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  EXPECT_FALSE(fds_.take("mig").has_value());
  ::close(number);
}

TEST_F(MigrationsTest, a_descriptor_that_is_no_good_is_shown_as_a_migration_that_failed) {
  Fd fd(::eventfd(0, EFD_CLOEXEC));
  const int number = fd.get();
  ASSERT_TRUE(fds_.put("mig", std::move(fd)).has_value());
  source_.on_start = [number](const Address&) -> Result<void> {
    ::close(number);  // as the engine does: the descriptor is its own, whatever comes of it
    return Error(ErrorCode::invalid_argument, "no socket");
  };
  EXPECT_FALSE(migrations_->start(uri("fd:mig")).has_value());
  EXPECT_EQ(migrations_->outgoing().status, Status::failed);
  EXPECT_EQ(migrations_->outgoing().error_desc, "no socket");
}

TEST_F(MigrationsTest, a_source_takes_no_descriptor_by_its_number) {
  const Result<void> started = migrations_->start(uri("fd:1"));
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().message().find("'1' not found"), std::string::npos);
  EXPECT_EQ(source_.created(), 0);
}

TEST_F(MigrationsTest, a_destination_may_be_given_one_that_the_process_was_started_with) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("fd:99"), std::nullopt).has_value());
  EXPECT_EQ(destination_.calls(), Strings{"listen fd:99"});
}

TEST_F(MigrationsTest, a_migration_can_be_yanked_when_its_first_event_is_out) {
  bool there = false;
  source_.on_start = [&](const Address&) -> Result<void> {
    source_.become(Status::setup);
    there = migrations_->can_yank();
    return {};
  };
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  EXPECT_TRUE(there);
}

TEST_F(MigrationsTest, parameters_of_the_guests_arrival_reach_a_destination_that_listens) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  Settings wanted = migrations_->settings();
  wanted.announce_rounds = 7;
  ASSERT_TRUE(migrations_->set_parameters(wanted).has_value());
  EXPECT_EQ(destination_.settings().announce_rounds, 7u);
}

TEST_F(MigrationsTest, a_guest_that_arrived_may_be_sent_on_with_every_capability) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  params::CapabilitySet wanted;
  wanted.set(params::capability_index("return-path"));
  wanted.set(params::capability_index("switchover-ack"));
  EXPECT_FALSE(migrations_->set_capabilities(wanted).has_value()) << "it listens";
  ASSERT_TRUE(states_.resume_all().has_value());
  destination_.become(Status::completed);
  EXPECT_TRUE(migrations_->set_capabilities(wanted).has_value());
}

TEST_F(MigrationsTest, cancel_succeeds_whether_or_not_there_is_something_to_cancel) {
  EXPECT_TRUE(migrations_->cancel().has_value());
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  source_.on_cancel = []() -> Result<void> {
    return Error(ErrorCode::failed_precondition, "too late");
  };
  EXPECT_TRUE(migrations_->cancel().has_value());
  source_.on_cancel = []() -> Result<void> { return Error(ErrorCode::internal, "bug"); };
  EXPECT_FALSE(migrations_->cancel().has_value());
}

TEST_F(MigrationsTest, continue_needs_the_state_it_names) {
  EXPECT_TRUE(migrations_->continue_from(Status::none).has_value());
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  source_.become(Status::active);
  EXPECT_EQ(migrations_->continue_from(Status::pre_switchover).error().message(),
            "Migration is in state 'active', not 'pre-switchover'");
  EXPECT_TRUE(migrations_->continue_from(Status::active).has_value());
  EXPECT_EQ(source_.calls(), Strings{"start tcp:h:1"});
  source_.become(Status::pre_switchover);
  EXPECT_TRUE(migrations_->continue_from(Status::pre_switchover).has_value());
  EXPECT_EQ(source_.calls().back(), "continue pre-switchover");
}

TEST_F(MigrationsTest, live_parameters_reach_a_migration_that_runs_and_only_that) {
  Settings wanted = migrations_->settings();
  wanted.max_bandwidth = 5;
  ASSERT_TRUE(migrations_->start(uri("tcp:h:1")).has_value());
  ASSERT_TRUE(migrations_->set_parameters(wanted).has_value());
  EXPECT_EQ(source_.settings().max_bandwidth, 5u);
  source_.become(Status::completed);
  wanted.max_bandwidth = 6;
  ASSERT_TRUE(migrations_->set_parameters(wanted).has_value());
  EXPECT_EQ(source_.settings().max_bandwidth, 5u);
}

TEST_F(MigrationsTest, parameters_out_of_range_change_nothing) {
  Settings wanted = migrations_->settings();
  wanted.max_bandwidth = 5;
  wanted.downtime_limit = 2000001;
  EXPECT_FALSE(migrations_->set_parameters(wanted).has_value());
  EXPECT_EQ(migrations_->settings().max_bandwidth, 134217728u);
}

TEST_F(MigrationsTest, only_a_vm_that_waits_may_listen_and_only_once) {
  EXPECT_FALSE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  EXPECT_EQ(destination_.calls(), Strings{"listen tcp:h:1"});
  EXPECT_FALSE(migrations_->listen(uri("tcp:h:2"), std::nullopt).has_value());
  EXPECT_FALSE(migrations_->start(uri("tcp:h:3")).has_value());
}

TEST_F(MigrationsTest, after_a_failed_listen_it_is_as_if_nothing_had_been_asked) {
  states_.begin_incoming(true);
  destination_.on_start = [](const Address&) -> Result<void> {
    return Error(ErrorCode::channel, "in use");
  };
  EXPECT_FALSE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  EXPECT_EQ(migrations_->info(), Json::object());
  EXPECT_EQ(destination_.destroyed(), 1);
  destination_.on_start = nullptr;
  EXPECT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  EXPECT_EQ(migrations_->info()["status"], "setup");
}

TEST_F(MigrationsTest, a_failed_incoming_migration_is_told_to_the_vmm) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  destination_.become(Status::failed, "bad magic");
  EXPECT_EQ(vm_.failures(), Strings{"incoming migration failed: bad magic"});
  EXPECT_EQ(log_.lines(), Strings{}) << "the engine has logged it";
}

TEST_F(MigrationsTest, without_exit_on_error_the_failure_stays_visible) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), false).has_value());
  destination_.become(Status::failed, "bad magic");
  EXPECT_EQ(vm_.failures(), Strings{});
  EXPECT_EQ(migrations_->info()["error-desc"], "bad magic");
  EXPECT_FALSE(migrations_->listen(uri("tcp:h:1"), false).has_value());
}

TEST_F(MigrationsTest, a_capability_that_a_destination_reads_must_be_on_before_it_listens) {
  params::CapabilitySet wanted;
  wanted.set(params::capability_index("return-path"));
  wanted.set(params::capability_index("switchover-ack"));
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->set_capabilities(wanted).has_value());
  ASSERT_TRUE(migrations_->set_capabilities({}).has_value());
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  EXPECT_FALSE(migrations_->set_capabilities(wanted).has_value());
  wanted.reset(params::capability_index("switchover-ack"));
  wanted.set(params::capability_index("events"));
  EXPECT_TRUE(migrations_->set_capabilities(wanted).has_value());
  EXPECT_EQ(migrations_->capabilities(), wanted);
}

TEST_F(MigrationsTest,
       an_incoming_migration_after_which_the_guest_leaves_again_shows_the_outgoing) {
  states_.begin_incoming(true);
  ASSERT_TRUE(migrations_->listen(uri("tcp:h:1"), std::nullopt).has_value());
  ASSERT_TRUE(states_.resume_all().has_value());
  destination_.become(Status::completed);
  EXPECT_EQ(migrations_->info()["status"], "completed");
  ASSERT_TRUE(migrations_->start(uri("tcp:h:2")).has_value());
  EXPECT_EQ(migrations_->info()["status"], "setup");
}

}  // namespace
}  // namespace tern::qmp
