// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/outbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <utility>

namespace tern::qmp {
namespace {

struct Pair {
  Pair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    ours = Fd(fds[0]);
    client = Fd(fds[1]);
  }
  // What has arrived, without waiting.
  std::string arrived() {
    std::string all;
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    while ((n = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
      all.append(buffer.data(), static_cast<size_t>(n));
    }
    return all;
  }
  Fd ours;
  Fd client;
};

const std::string kLine = std::string(1000, 'e') + "\r\n";

TEST(Outbox, replies_and_events_are_written_at_once_and_in_order) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  outbox.push_reply("a\r\n");
  EXPECT_FALSE(outbox.push_event("b\r\n"));
  outbox.push_reply("c\r\n");
  EXPECT_EQ(pair.arrived(), "a\r\nb\r\nc\r\n");
  EXPECT_EQ(outbox.pending_bytes(), 0u);
}

TEST(Outbox, a_client_that_does_not_read_never_blocks_and_is_given_up_at_the_limit) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  size_t pushed = 0;
  while (!outbox.given_up() && pushed < 100000000) {
    outbox.push_event(kLine);
    pushed += kLine.size();
  }
  EXPECT_TRUE(outbox.given_up());
  EXPECT_TRUE(outbox.overflowed());
  EXPECT_EQ(outbox.pending_bytes(), 0u);
  EXPECT_FALSE(outbox.push_event(kLine));
}

TEST(Outbox, what_a_full_socket_did_not_take_is_written_by_a_later_flush) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  std::string expected;
  while (outbox.pending_bytes() == 0) {
    const std::string line = std::to_string(expected.size()) + kLine;
    (void)outbox.push_event(line);
    expected += line;
  }
  EXPECT_TRUE(outbox.push_event("last\r\n"));
  expected += "last\r\n";
  std::string got;
  while (got.size() < expected.size()) {
    got += pair.arrived();
    outbox.flush();
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(outbox.pending_bytes(), 0u);
}

TEST(Outbox, a_large_reply_does_not_count_against_the_events) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  outbox.push_reply(std::string(8 * Outbox::kMaxEventBytes, 'r'));
  EXPECT_TRUE(outbox.push_event(kLine));
  EXPECT_FALSE(outbox.given_up());
}

TEST(Outbox, a_client_that_is_gone_is_given_up_without_a_signal) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  pair.client.reset();
  outbox.push_reply("a\r\n");
  EXPECT_TRUE(outbox.given_up());
  EXPECT_FALSE(outbox.overflowed());
}

TEST(Outbox, after_close_nothing_is_written) {
  Pair pair;
  Outbox outbox(std::move(pair.ours));
  outbox.close();
  outbox.push_reply("a\r\n");
  EXPECT_FALSE(outbox.push_event("b\r\n"));
  outbox.flush();
  std::array<char, 8> buffer;
  EXPECT_EQ(::recv(pair.client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT), 0);
}

}  // namespace
}  // namespace tern::qmp
