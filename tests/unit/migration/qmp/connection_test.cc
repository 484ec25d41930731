// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/connection.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

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
      pollfd p{connection_->fd(), connection_->wanted_events(), 0};
      if (::poll(&p, 1, 0) <= 0) return;
      connection_->work(p.revents);
    }
  }

  Dispatcher dispatcher_{plane(), log};
  Fd wake_fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::optional<QmpSocket> far_;
  std::optional<Connection> connection_;
};

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
  EXPECT_EQ(connection_->wanted_events(), POLLOUT);
  EXPECT_FALSE(connection_->over());
}

TEST_F(ConnectionTest, is_over_when_the_client_is_gone) {
  EXPECT_FALSE(connection_->over());
  far_->close();
  settle();
  EXPECT_TRUE(connection_->over());
}

TEST_F(ConnectionTest, descriptors_that_are_too_many_are_closed_and_logged) {
  far_->send(R"({"execute":"qmp_capabilities"})");
  settle();
  const Fd fd(::eventfd(0, EFD_CLOEXEC));
  for (size_t i = 0; i <= ReceivedFds::kMax; ++i) {
    far_->send_with_fd(" ", fd.get());
    settle();
  }
  EXPECT_EQ(log.lines().size(), 1u);
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
