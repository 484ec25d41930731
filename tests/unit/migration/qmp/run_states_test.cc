// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/run_states.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

using Strings = std::vector<std::string>;

class RunStatesTest : public ::testing::Test {
 protected:
  RunStatesTest() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    outbox_ = std::make_unique<Outbox>(Fd(fds[0]));
    far_ = Fd(fds[1]);
    hub_.subscribe(*outbox_, -1, "");
  }
  Strings events() {
    std::array<char, 65536> buffer;
    const ssize_t n = ::recv(far_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    std::string text(buffer.data(), n > 0 ? static_cast<size_t>(n) : 0);
    Strings out;
    size_t end = 0;
    while ((end = text.find("\r\n")) != std::string::npos) {
      out.push_back(Json::parse(text.substr(0, end))["event"]);
      text.erase(0, end + 2);
    }
    return out;
  }
  void run() {
    ASSERT_TRUE(states_.resume_all().has_value());
    (void)events();
  }

  ManualClock clock_;
  EventHub hub_{clock_};
  LogRecorder log_;
  RecordingVcpus vcpus_;
  RunStates states_{vcpus_, hub_, log_};
  std::unique_ptr<Outbox> outbox_;
  Fd far_;
};

TEST_F(RunStatesTest, stop_and_cont_move_the_guest_and_are_told_once) {
  run();
  ASSERT_TRUE(states_.stop().has_value());
  ASSERT_TRUE(states_.stop().has_value());
  EXPECT_EQ(states_.run_state(), RunState::paused);
  EXPECT_EQ(events(), Strings{"STOP"});
  ASSERT_TRUE(states_.cont().has_value());
  ASSERT_TRUE(states_.cont().has_value());
  EXPECT_EQ(states_.run_state(), RunState::running);
  EXPECT_EQ(events(), Strings{"RESUME"});
  EXPECT_EQ(vcpus_.calls(), (Strings{"resume", "pause paused", "resume"}));
}

TEST_F(RunStatesTest, a_switchover_that_is_undone_stops_and_resumes) {
  run();
  {
    Result<VcpuPauseGuard> guard = VcpuPauseGuard::pause(states_);
    ASSERT_TRUE(guard.has_value());
    EXPECT_EQ(guard->before(), RunState::running);
    EXPECT_EQ(states_.run_state(), RunState::finish_migrate);
  }
  EXPECT_EQ(states_.run_state(), RunState::running);
  EXPECT_EQ(events(), (Strings{"STOP", "RESUME"}));
}

TEST_F(RunStatesTest, a_switchover_of_a_stopped_guest_tells_nothing_and_gives_its_state_back) {
  run();
  ASSERT_TRUE(states_.stop().has_value());
  (void)events();
  {
    Result<VcpuPauseGuard> guard = VcpuPauseGuard::pause(states_);
    ASSERT_TRUE(guard.has_value());
    EXPECT_EQ(states_.run_state(), RunState::finish_migrate);
  }
  EXPECT_EQ(states_.run_state(), RunState::paused);
  EXPECT_EQ(events(), Strings{});
}

TEST_F(RunStatesTest, cont_is_refused_while_a_switchover_is_in_progress) {
  run();
  Result<VcpuPauseGuard> guard = VcpuPauseGuard::pause(states_);
  ASSERT_TRUE(guard.has_value());
  const auto refused = states_.cont();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_TRUE(states_.stop().has_value());
  EXPECT_EQ(states_.run_state(), RunState::finish_migrate);
}

TEST_F(RunStatesTest, cont_after_a_completed_migration_works_and_is_logged) {
  run();
  Result<VcpuPauseGuard> guard = VcpuPauseGuard::pause(states_);
  ASSERT_TRUE(guard.has_value());
  std::move(*guard).release(RunState::postmigrate);
  EXPECT_EQ(states_.run_state(), RunState::postmigrate);
  ASSERT_TRUE(states_.cont().has_value());
  EXPECT_EQ(states_.run_state(), RunState::running);
  ASSERT_EQ(log_.lines().size(), 1u);
  EXPECT_EQ(log_.lines()[0].rfind("warning: cont after a completed migration", 0), 0u);
}

TEST_F(RunStatesTest, in_inmigrate_cont_and_stop_only_set_autostart) {
  states_.begin_incoming(false);
  EXPECT_EQ(states_.run_state(), RunState::inmigrate);
  EXPECT_TRUE(states_.cont().has_value());
  EXPECT_TRUE(states_.autostart());
  EXPECT_TRUE(states_.stop().has_value());
  EXPECT_FALSE(states_.autostart());
  EXPECT_EQ(states_.run_state(), RunState::inmigrate);
  EXPECT_EQ(events(), Strings{});
}

TEST_F(RunStatesTest, a_stop_during_loading_wins_over_the_start_at_its_end) {
  states_.begin_incoming(true);
  ASSERT_TRUE(states_.stop().has_value());
  ASSERT_TRUE(states_.resume_all().has_value());
  EXPECT_EQ(states_.run_state(), RunState::paused);
  EXPECT_EQ(events(), Strings{});
}

TEST_F(RunStatesTest, a_stop_between_look_and_pause_of_a_switchover_is_not_undone_with_it) {
  run();
  vcpus_.on_pause = [] {};
  ASSERT_TRUE(states_.stop().has_value());
  auto guard = VcpuPauseGuard::pause(states_);
  ASSERT_TRUE(guard.has_value());
  EXPECT_EQ(guard->before(), RunState::paused);
  ASSERT_TRUE(std::move(*guard).undo().has_value());
  EXPECT_EQ(states_.run_state(), RunState::paused);
}

TEST_F(RunStatesTest, a_guest_that_runs_is_stopped_even_if_only_its_name_should_change) {
  run();
  states_.set_stopped_state(RunState::finish_migrate);
  EXPECT_EQ(vcpus_.calls().back(), "pause finish-migrate");
  EXPECT_EQ(events(), Strings{"STOP"});
}

TEST_F(RunStatesTest, a_guest_that_ends_as_soon_as_it_runs_is_shut_down_and_not_running) {
  vcpus_.on_resume = [this] {
    EXPECT_EQ(states_.run_state(), RunState::running) << "named before it runs";
    states_.guest_shutdown();
  };
  ASSERT_TRUE(states_.cont().has_value());
  EXPECT_EQ(states_.run_state(), RunState::shutdown);
  EXPECT_FALSE(states_.cont().has_value());
}

TEST_F(RunStatesTest, a_vcpu_may_tell_its_shutdown_while_it_is_being_stopped) {
  run();
  vcpus_.on_pause = [this] { states_.guest_shutdown(); };
  ASSERT_TRUE(states_.pause_all(RunState::finish_migrate).has_value());
  vcpus_.on_pause = nullptr;
  ASSERT_TRUE(states_.resume_all().has_value());
  EXPECT_EQ(states_.run_state(), RunState::shutdown);
  EXPECT_FALSE(states_.cont().has_value());
}

TEST_F(RunStatesTest, a_shutdown_of_a_running_guest_is_told_and_needs_a_reset) {
  run();
  states_.guest_shutdown();
  EXPECT_EQ(states_.run_state(), RunState::shutdown);
  EXPECT_EQ(events(), (Strings{"SHUTDOWN", "STOP"}));
  EXPECT_FALSE(states_.cont().has_value());
}

TEST_F(RunStatesTest, a_stop_of_a_guest_that_shuts_down_meanwhile_leaves_it_shut_down) {
  run();
  vcpus_.on_pause = [this] { states_.guest_shutdown(); };
  ASSERT_TRUE(states_.stop().has_value());
  EXPECT_EQ(states_.run_state(), RunState::shutdown);
}

TEST_F(RunStatesTest, errors_of_the_vmm_are_passed_on_and_change_nothing) {
  run();
  vcpus_.fail_pause = true;
  EXPECT_FALSE(states_.stop().has_value());
  EXPECT_EQ(states_.run_state(), RunState::running);
  states_.set_stopped_state(RunState::finish_migrate);
  EXPECT_EQ(log_.lines().size(), 1u);
  vcpus_.fail_pause = false;
  ASSERT_TRUE(states_.stop().has_value());
  vcpus_.fail_resume = true;
  EXPECT_EQ(states_.cont().error().message(), "the disk is gone");
  EXPECT_EQ(states_.run_state(), RunState::paused);
  EXPECT_EQ(events(), Strings{"STOP"});
}

}  // namespace
}  // namespace tern::qmp
