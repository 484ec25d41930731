// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_lane.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

/// A VMM whose main loop is turned by hand.
class Loop final : public QmpDispatcher {
 public:
  void post(std::function<void()> work) noexcept override { works.push_back(std::move(work)); }
  void turn() {
    auto work = std::move(works.front());
    works.pop_front();
    work();
  }
  std::deque<std::function<void()>> works;
};

class CommandLaneTest : public ::testing::Test, protected PlaneParts {
 protected:
  CommandLaneTest() { session_.negotiated = true; }
  std::shared_ptr<CommandLane> make(QmpDispatcher* vmm) {
    return std::make_shared<CommandLane>(
        dispatcher_, vmm, session_,
        [this](Reply reply) { replies_.push_back(Json::parse(reply.line)["id"]); },
        [this] { ++settled_; });
  }
  static Request request(int id) {
    return Dispatcher::read(R"({"execute":"query-name","id":)" + std::to_string(id) + "}", false);
  }

  Session session_;
  Dispatcher dispatcher_{plane(true), log};
  std::vector<int> replies_;
  int settled_ = 0;
  Loop loop_;
};

TEST_F(CommandLaneTest, without_a_dispatcher_commands_run_at_once) {
  const auto lane = make(nullptr);
  lane->submit(request(1));
  EXPECT_EQ(replies_, std::vector<int>{1});
  EXPECT_TRUE(lane->idle());
}

TEST_F(CommandLaneTest, commands_run_in_order_where_the_vmm_runs_them_one_posted_at_a_time) {
  const auto lane = make(&loop_);
  for (int id = 1; id <= 3; ++id) lane->submit(request(id));
  EXPECT_TRUE(replies_.empty());
  EXPECT_FALSE(lane->idle());
  for (int turns = 1; turns <= 3; ++turns) {
    ASSERT_EQ(loop_.works.size(), 1u);
    loop_.turn();
    EXPECT_EQ(settled_, turns);
  }
  EXPECT_EQ(replies_, (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(lane->idle());
  EXPECT_TRUE(loop_.works.empty());
}

TEST_F(CommandLaneTest, without_oob_the_next_command_waits_for_the_reply_of_the_one_before) {
  const auto lane = make(&loop_);
  EXPECT_TRUE(lane->accepts(false));
  lane->submit(request(1));
  EXPECT_FALSE(lane->accepts(false));
  loop_.turn();
  EXPECT_TRUE(lane->accepts(false));
}

TEST_F(CommandLaneTest, with_oob_as_many_wait_as_in_qemu) {
  const auto lane = make(&loop_);
  size_t taken = 0;
  while (lane->accepts(true) && taken < 100) {
    lane->submit(request(static_cast<int>(taken)));
    ++taken;
  }
  EXPECT_EQ(taken, CommandLane::kMaxWaiting);
}

TEST_F(CommandLaneTest, after_close_what_was_posted_does_nothing) {
  const auto lane = make(&loop_);
  lane->submit(request(1));
  lane->close();
  loop_.turn();
  EXPECT_TRUE(replies_.empty());
  lane->submit(request(2));
  EXPECT_TRUE(loop_.works.empty());
}

TEST_F(CommandLaneTest, close_waits_for_the_command_that_runs) {
  std::atomic<bool> executing{false};
  std::atomic<bool> delivered{false};
  const auto lane = std::make_shared<CommandLane>(
      dispatcher_, &loop_, session_,
      [&](Reply) {
        executing = true;
        executing.notify_all();
        for (int i = 0; i < 1000; ++i) std::this_thread::yield();
        delivered = true;
      },
      [] {});
  lane->submit(request(1));
  std::thread vmm([this] { loop_.turn(); });
  executing.wait(false);
  lane->close();
  EXPECT_TRUE(delivered);
  vmm.join();
}

}  // namespace
}  // namespace tern::qmp
