// SPDX-License-Identifier: Apache-2.0
#include "tern/vcpu_control.h"

#include <gtest/gtest.h>

#include <string>

namespace tern {
namespace {

class Guest final : public VcpuControl {
 public:
  explicit Guest(RunState initial) : state(initial) {}
  RunState run_state() const noexcept override { return state; }
  Result<RunState> pause_all(RunState to) noexcept override {
    if (fail_pause) return Error(ErrorCode::device, "will not stop");
    const RunState before = state;
    if (before == RunState::running) ++pauses;
    state = to;
    return before;
  }
  Result<void> resume_all() noexcept override {
    ++resumes;
    state = RunState::running;
    return {};
  }
  void set_stopped_state(RunState to) noexcept override { state = to; }

  RunState state;
  bool fail_pause = false;
  int pauses = 0;
  int resumes = 0;
};

TEST(RunStates, names_go_there_and_back_and_are_qemus) {
  for (int i = 0; i <= static_cast<int>(RunState::colo); ++i) {
    const auto state = static_cast<RunState>(i);
    const auto back = run_state_from(to_string(state));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, state);
  }
  EXPECT_EQ(to_string(RunState::finish_migrate), "finish-migrate");
  EXPECT_EQ(to_string(RunState::guest_panicked), "guest-panicked");
}

TEST(RunStates, unknown_words_are_named_in_the_error) {
  const auto state = run_state_from("asleep");
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(state.error().message().find("'asleep'"), std::string::npos);
}

TEST(VcpuPauseGuard, forgotten_it_lets_a_running_guest_run_on) {
  Guest guest(RunState::running);
  {
    const auto guard = VcpuPauseGuard::pause(guest);
    ASSERT_TRUE(guard);
    EXPECT_EQ(guest.state, RunState::finish_migrate);
    EXPECT_EQ(guard->before(), RunState::running);
  }
  EXPECT_EQ(guest.state, RunState::running);
  EXPECT_EQ(guest.resumes, 1);
}

TEST(VcpuPauseGuard, a_guest_that_did_not_run_is_not_started) {
  Guest guest(RunState::paused);
  { ASSERT_TRUE(VcpuPauseGuard::pause(guest)); }
  EXPECT_EQ(guest.state, RunState::paused);
  EXPECT_EQ(guest.pauses, 0);
  EXPECT_EQ(guest.resumes, 0);
}

TEST(VcpuPauseGuard, released_it_leaves_the_guest_stopped_in_the_state_given) {
  Guest guest(RunState::running);
  {
    auto guard = VcpuPauseGuard::pause(guest);
    ASSERT_TRUE(guard);
    std::move(*guard).release(RunState::postmigrate);
  }
  EXPECT_EQ(guest.state, RunState::postmigrate);
  EXPECT_EQ(guest.resumes, 0);
}

TEST(VcpuPauseGuard, moved_it_undoes_once) {
  Guest guest(RunState::running);
  {
    auto first = VcpuPauseGuard::pause(guest);
    ASSERT_TRUE(first);
    const VcpuPauseGuard second = std::move(*first);
    EXPECT_EQ(second.before(), RunState::running);
  }
  EXPECT_EQ(guest.resumes, 1);
}

TEST(VcpuPauseGuard, undone_by_hand_it_tells_and_does_no_more) {
  Guest guest(RunState::running);
  {
    auto guard = VcpuPauseGuard::pause(guest);
    ASSERT_TRUE(guard);
    EXPECT_TRUE(std::move(*guard).undo());
  }
  EXPECT_EQ(guest.resumes, 1);
}

TEST(VcpuPauseGuard, a_guest_that_will_not_stop_is_an_error) {
  Guest guest(RunState::running);
  guest.fail_pause = true;
  const auto guard = VcpuPauseGuard::pause(guest);
  ASSERT_FALSE(guard);
  EXPECT_EQ(guest.state, RunState::running);
}

}  // namespace
}  // namespace tern
