// SPDX-License-Identifier: Apache-2.0
#include "migration/state/session.h"

#include <gtest/gtest.h>

#include <thread>

namespace tern {
namespace {

struct Recorder final : EventSink {
  std::vector<std::string> seen;
  void on_event(const Event& event) noexcept override {
    if (const auto* s = std::get_if<StatusChanged>(&event)) {
      seen.emplace_back(to_string(s->status));
    } else {
      seen.push_back("PASS " + std::to_string(std::get<PassStarted>(event).pass));
    }
  }
};

TEST(Session, events_come_in_the_order_of_the_posts) {
  Recorder sink;
  Session session(Side::source, &sink, PeerVersion::tern);
  ASSERT_TRUE(session.post(Trigger::start));
  session.tell(PassStarted{1});
  ASSERT_TRUE(session.post(Trigger::connected));
  ASSERT_TRUE(session.post(Trigger::switchover));
  ASSERT_TRUE(session.post(Trigger::finished));
  EXPECT_EQ(sink.seen,
            (std::vector<std::string>{"setup", "PASS 1", "active", "device", "completed"}));
}

TEST(Session, failing_is_told_only_in_dialects_that_have_it) {
  Recorder old_sink;
  Session old_session(Side::source, &old_sink, PeerVersion::qemu_7_2);
  ASSERT_TRUE(old_session.post(Trigger::start));
  ASSERT_TRUE(old_session.fail(Error(ErrorCode::channel, "gone")));
  EXPECT_EQ(old_session.status(), Status::failing);
  EXPECT_EQ(old_session.visible_status(), Status::setup);
  ASSERT_TRUE(old_session.post(Trigger::cleaned_up));
  EXPECT_EQ(old_sink.seen, (std::vector<std::string>{"setup", "failed"}));

  Recorder new_sink;
  Session new_session(Side::source, &new_sink, PeerVersion::qemu_11_1);
  ASSERT_TRUE(new_session.post(Trigger::start));
  ASSERT_TRUE(new_session.fail(Error(ErrorCode::channel, "gone")));
  ASSERT_TRUE(new_session.post(Trigger::cleaned_up));
  EXPECT_EQ(new_sink.seen, (std::vector<std::string>{"setup", "failing", "failed"}));
}

TEST(Session, the_first_error_is_kept_and_the_rest_counted) {
  Session session(Side::source, nullptr, PeerVersion::tern);
  ASSERT_TRUE(session.post(Trigger::start));
  ASSERT_TRUE(session.fail(Error(ErrorCode::channel, "first")));
  ASSERT_TRUE(session.fail(Error(ErrorCode::channel, "second")));
  EXPECT_EQ(session.first_error()->message(), "first");
  EXPECT_EQ(session.later_errors(), 1u);
}

TEST(Session, an_error_while_cancelling_stays_a_cancel) {
  Session session(Side::source, nullptr, PeerVersion::tern);
  ASSERT_TRUE(session.post(Trigger::start));
  ASSERT_TRUE(session.post(Trigger::cancel));
  EXPECT_EQ(*session.fail(Error(ErrorCode::channel, "shut down")), Status::cancelling);
  EXPECT_EQ(*session.post(Trigger::cleaned_up), Status::cancelled);
}

TEST(Session, wait_ended_returns_when_the_machine_ends) {
  Session session(Side::source, nullptr, PeerVersion::tern);
  ASSERT_TRUE(session.post(Trigger::start));
  std::thread ender([&] {
    ASSERT_TRUE(session.post(Trigger::cancel));
    ASSERT_TRUE(session.post(Trigger::cleaned_up));
  });
  session.wait_ended();
  EXPECT_EQ(session.status(), Status::cancelled);
  ender.join();
}

}  // namespace
}  // namespace tern
