// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"
#include "tests/unit/migration/qmp/qmp_socket.h"

namespace tern::qmp {
namespace {

class ConnectionTest : public ::testing::Test, protected PlaneParts {
 protected:
  ConnectionTest() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
    far_.emplace(Fd(pair[1]));
    connection_.emplace(Fd(pair[0]), wake_fd_.get(), dispatcher_, nullptr, hub, vm, log);
  }
  // What the loop does, until there is nothing more to do.
  void settle() {
    while (!connection_->over()) {
      pollfd p = connection_->poll_entry();
      if (::poll(&p, 1, 0) <= 0) return;
      connection_->work(p.revents);
    }
  }

  Dispatcher dispatcher_{plane(), log};
  Fd wake_fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::optional<QmpSocket> far_;
  std::optional<Connection> connection_;
};

TEST_F(ConnectionTest, with_nothing_to_wait_for_a_hangup_is_not_waited_for_either) {
  class Loop final : public QmpDispatcher {
   public:
    void post(std::function<void()> work) noexcept override { works.push_back(std::move(work)); }
    std::vector<std::function<void()>> works;
  } loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  QmpSocket client{Fd(ends[1])};
  Connection connection(Fd{ends[0]}, wake_fd_.get(), dispatcher_, &loop, hub, vm, log);
  client.send(R"({"execute":"qmp_capabilities"})");
  connection.work(POLLIN);
  EXPECT_EQ(connection.poll_entry().fd, ends[0]) << "the next request may come";
  client.finish_sending();
  connection.work(POLLIN);
  EXPECT_FALSE(connection.over()) << "its command waits for the VMM";
  EXPECT_EQ(connection.poll_entry().fd, -1);
  ASSERT_EQ(loop.works.size(), 1u);
  loop.works[0]();
  EXPECT_TRUE(connection.over());
}

TEST_F(ConnectionTest, greets_at_once) { EXPECT_TRUE(far_->json().contains("QMP")); }

TEST_F(ConnectionTest, an_event_right_after_negotiation_is_not_lost) {
  far_->send(R"({"execute":"qmp_capabilities"})");
  settle();
  hub.emit("STOP");
  EXPECT_TRUE(far_->json().contains("QMP"));
  EXPECT_TRUE(far_->json().contains("return"));
  EXPECT_EQ(far_->json()["event"], "STOP");
}

TEST_F(ConnectionTest, stops_reading_from_a_client_that_does_not_read) {
  const std::string request = R"({"execute":"query-commands"})";
  far_->send(R"({"execute":"qmp_capabilities"})");
  for (int i = 0; i < 4000; ++i) {
    ::send(far_->fd(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    settle();
  }
  EXPECT_EQ(connection_->poll_entry().events, POLLOUT);
  EXPECT_FALSE(connection_->over());
}

TEST_F(ConnectionTest, is_over_when_the_client_is_gone) {
  EXPECT_FALSE(connection_->over());
  far_->close();
  settle();
  EXPECT_TRUE(connection_->over());
}

TEST_F(ConnectionTest, of_descriptors_that_nobody_asked_for_only_the_last_is_kept) {
  far_->send(R"({"execute":"qmp_capabilities"})");
  settle();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const Fd other(::eventfd(0, EFD_CLOEXEC));
  far_->send_with_fd(" ", writer.get());
  settle();
  writer.reset();
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), -1) << "one copy is kept: some clients send it first";
  far_->send_with_fd(" ", other.get());
  settle();
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "and given up for the next";
  EXPECT_FALSE(connection_->over());
}

TEST_F(ConnectionTest, after_its_end_the_hub_knows_it_no_more) {
  far_->send(R"({"execute":"qmp_capabilities"})");
  settle();
  connection_.reset();
  hub.emit("STOP");
  EXPECT_TRUE(far_->json().contains("QMP"));
  EXPECT_TRUE(far_->json().contains("return"));
  EXPECT_EQ(far_->line(), "");
}

}  // namespace
}  // namespace tern::qmp
