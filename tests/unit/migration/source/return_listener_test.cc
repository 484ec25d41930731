// SPDX-License-Identifier: Apache-2.0
#include "migration/source/return_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "migration/stream/framing.h"
#include "transport/socket_channel.h"

namespace tern {
namespace {

// The listener on one end of a real connection; the test is the destination on the other.
class ReturnListenerTest : public testing::Test {
 protected:
  ReturnListenerTest() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    source_ = std::move(*transport::SocketChannel::create(Fd(ends[0]), "source", {}));
    destination_ = std::move(*transport::SocketChannel::create(Fd(ends[1]), "destination", {}));
    out_ = std::make_unique<StreamWriter>(*destination_);
    thread_ = std::thread([this] { listener_.run(*source_); });
  }
  ~ReturnListenerTest() override {
    source_->shutdown();
    thread_.join();
  }

  void say_pong(uint32_t value) {
    ASSERT_TRUE(write_return_be32(*out_, ReturnType::pong, value));
    ASSERT_TRUE(out_->flush());
  }
  void say_empty(ReturnType type) {
    ASSERT_TRUE(write_return_empty(*out_, type));
    ASSERT_TRUE(out_->flush());
  }
  void say_raw(uint16_t type, std::span<const std::byte> payload) {
    ASSERT_TRUE(out_->put_be16(type));
    ASSERT_TRUE(out_->put_be16(static_cast<uint16_t>(payload.size())));
    ASSERT_TRUE(out_->put(payload));
    ASSERT_TRUE(out_->flush());
  }
  /// Waits as long as it takes; the deadline only keeps a broken listener from hanging the run.
  ReturnListener::Said until(const std::function<bool(const ReturnListener::Said&)>& done) {
    const auto r = listener_.wait({"the test's patience", Milliseconds(60000)}, done);
    EXPECT_TRUE(r) << r.error().message();
    return listener_.said();
  }
  ReturnListener::Said until_error() {
    return until([](const auto& said) { return said.error.has_value(); });
  }

  ReturnListener listener_;
  std::unique_ptr<Channel> source_;
  std::unique_ptr<Channel> destination_;
  std::unique_ptr<StreamWriter> out_;
  std::thread thread_;
};

TEST_F(ReturnListenerTest, has_heard_nothing_at_first) {
  const auto said = listener_.said();
  EXPECT_EQ(said.messages, 0u);
  EXPECT_FALSE(said.hello);
  EXPECT_FALSE(said.loaded);
  EXPECT_FALSE(said.shut);
  EXPECT_FALSE(said.error);
}

TEST_F(ReturnListenerTest, remembers_every_pong_by_its_value) {
  say_pong(1);
  say_pong(kTernPing);
  const auto said = until([](const auto& s) { return s.pongs.contains(kTernPing); });
  EXPECT_TRUE(said.pongs.contains(1));
  EXPECT_FALSE(said.pongs.contains(2));
  EXPECT_EQ(said.messages, 2u);
}

TEST_F(ReturnListenerTest, takes_the_hello_of_a_tern_destination) {
  ASSERT_TRUE(write_tern_hello(*out_, {1, 3, 0x5, "0.2.0"}));
  ASSERT_TRUE(out_->flush());
  const auto said = until([](const auto& s) { return s.hello.has_value(); });
  EXPECT_EQ(said.hello->oldest, 1);
  EXPECT_EQ(said.hello->newest, 3);
  EXPECT_EQ(said.hello->features, 5u);
  EXPECT_EQ(said.hello->version, "0.2.0");
}

TEST_F(ReturnListenerTest, tells_acknowledgement_loaded_and_shut_apart) {
  say_empty(ReturnType::switchover_ack);
  EXPECT_FALSE(until([](const auto& s) { return s.switchover_ack; }).loaded);
  say_empty(ReturnType::tern_loaded);
  EXPECT_FALSE(until([](const auto& s) { return s.loaded; }).shut);
  ASSERT_TRUE(write_return_be32(*out_, ReturnType::shut, 7));
  ASSERT_TRUE(out_->flush());
  EXPECT_EQ(until([](const auto& s) { return s.shut.has_value(); }).shut, 7u);
}

TEST_F(ReturnListenerTest, shut_is_the_last_word_and_closing_after_it_is_no_error) {
  ASSERT_TRUE(write_return_be32(*out_, ReturnType::shut, 0));
  ASSERT_TRUE(out_->flush());
  until([](const auto& s) { return s.shut.has_value(); });
  destination_->shutdown();
  thread_.join();
  EXPECT_FALSE(listener_.said().error);
  thread_ = std::thread([] {});
}

TEST_F(ReturnListenerTest, a_destination_that_goes_without_shut_is_an_error) {
  destination_->shutdown();
  const auto said = until_error();
  EXPECT_EQ(said.error->code(), ErrorCode::channel);
  EXPECT_EQ(said.error->message().rfind("return path: ", 0), 0u) << said.error->message();
}

TEST_F(ReturnListenerTest, an_error_wakes_a_main_thread_that_is_blocked_in_the_channel) {
  say_raw(99, {});
  until_error();
  std::byte byte{};
  const auto r = source_->read_some({&byte, 1});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::cancelled);
}

TEST_F(ReturnListenerTest, an_unknown_message_is_refused_by_number) {
  say_raw(0x1234, {});
  const auto said = until_error();
  EXPECT_EQ(said.error->code(), ErrorCode::peer_protocol);
  EXPECT_NE(said.error->message().find("0x1234"), std::string::npos) << said.error->message();
}

TEST_F(ReturnListenerTest, a_message_of_a_newer_tern_that_is_optional_is_skipped) {
  const std::byte payload[3] = {};
  say_raw(0x5477, payload);
  say_pong(5);
  EXPECT_FALSE(until([](const auto& s) { return s.pongs.contains(5); }).error);
}

TEST_F(ReturnListenerTest, a_message_of_a_newer_tern_that_is_mandatory_is_refused) {
  say_raw(0xd477, {});
  EXPECT_EQ(until_error().error->code(), ErrorCode::peer_protocol);
}

TEST_F(ReturnListenerTest, postcopy_messages_do_not_belong_into_precopy) {
  const std::byte payload[12] = {};
  say_raw(static_cast<uint16_t>(ReturnType::req_pages), payload);
  const auto said = until_error();
  EXPECT_EQ(said.error->code(), ErrorCode::peer_protocol);
  EXPECT_NE(said.error->message().find("req-pages"), std::string::npos) << said.error->message();
}

TEST_F(ReturnListenerTest, a_pong_of_the_wrong_length_is_refused) {
  const std::byte payload[3] = {};
  say_raw(static_cast<uint16_t>(ReturnType::pong), payload);
  EXPECT_EQ(until_error().error->code(), ErrorCode::peer_protocol);
}

TEST_F(ReturnListenerTest, a_flood_of_pongs_does_not_make_it_grow) {
  for (uint32_t i = 0; i < 5000; ++i) ASSERT_TRUE(write_return_be32(*out_, ReturnType::pong, i));
  ASSERT_TRUE(out_->flush());
  const auto said = until([](const auto& s) { return s.messages == 5000; });
  EXPECT_LE(said.pongs.size(), 64u);
}

TEST_F(ReturnListenerTest, a_wait_that_nobody_answers_names_its_deadline) {
  const auto r =
      listener_.wait({"x-final-timeout", Milliseconds(1)}, [](const auto&) { return false; });
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(r.error().message().rfind("x-final-timeout: ", 0), 0u) << r.error().message();
}

TEST_F(ReturnListenerTest, poke_makes_a_wait_ask_again) {
  std::atomic<bool> cancelled{false};
  std::atomic<int> asked{0};
  std::thread waiter([&] {
    const auto r = listener_.wait({"the test's patience", Milliseconds(60000)}, [&](const auto&) {
      const bool now = cancelled.load();  // first: the test changes it once it was asked
      ++asked;
      return now;
    });
    EXPECT_TRUE(r);
  });
  while (asked.load() == 0) std::this_thread::yield();
  cancelled = true;
  listener_.poke();
  waiter.join();
  EXPECT_GE(asked.load(), 2);
}

TEST_F(ReturnListenerTest, sleep_ends_early_when_a_message_comes) {
  std::atomic<bool> awake{false};
  std::thread sleeper([&] {
    listener_.sleep(std::chrono::hours(1));
    awake = true;
  });
  // Whether it sleeps already or not: a message during the sleep wakes it, so keep talking.
  for (uint32_t i = 0; !awake.load(); ++i) {
    say_pong(i);
    std::this_thread::yield();
  }
  sleeper.join();
}

TEST_F(ReturnListenerTest, sleep_does_not_begin_when_reading_has_failed) {
  destination_->shutdown();
  until_error();
  listener_.sleep(std::chrono::hours(1));
}

}  // namespace
}  // namespace tern
