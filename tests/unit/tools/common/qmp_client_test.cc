// SPDX-License-Identifier: Apache-2.0
#include "tools/common/qmp_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/fd.h"
#include "migration/qmp/unix_listener.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::tool {
namespace {

constexpr QmpClient::Ms kLong{60000};
constexpr QmpClient::Ms kShort{50};

// Against tern's own server, with scripted migrations behind it.
class QmpClientTest : public qmp::PlaneTest {
 protected:
  QmpClientTest() {
    char name[] = "/tmp/tern-client-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/qmp";
  }
  ~QmpClientTest() override {
    if (plane_) plane_->stop();
    if (server_.joinable()) server_.join();
    std::remove(directory_.c_str());
  }
  void start() {
    create();
    server_ = std::thread([this] { EXPECT_TRUE(plane_->serve_unix(path_).has_value()); });
  }
  std::unique_ptr<QmpClient> connect() {
    Result<QmpClient> made = QmpClient::connect(path_, kLong);
    EXPECT_TRUE(made.has_value());
    return std::make_unique<QmpClient>(std::move(made).value());
  }
  std::unique_ptr<QmpClient> connect_with_events() {
    std::unique_ptr<QmpClient> client = connect();
    const Json events = {{"capability", "events"}, {"state", true}};
    EXPECT_TRUE(
        client->execute("migrate-set-capabilities", {{"capabilities", Json::array({events})}})
            .has_value());
    return client;
  }
  std::string directory_;
  std::string path_;
  std::thread server_;
};

TEST_F(QmpClientTest, waits_for_a_server_that_comes_later) {
  std::thread later;
  create();
  later = std::thread([this] {
    server_ = std::thread([this] { EXPECT_TRUE(plane_->serve_unix(path_).has_value()); });
  });
  EXPECT_TRUE(connect()->greeting().contains("QMP"));
  later.join();
}

TEST_F(QmpClientTest, gives_up_when_nobody_listens) {
  const auto made = QmpClient::connect(path_, kShort);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), ErrorCode::timed_out);
  EXPECT_FALSE(QmpClient::connect(std::string(108, 'x'), kShort).has_value());
  EXPECT_FALSE(QmpClient::connect("", kShort).has_value());
}

TEST_F(QmpClientTest, a_server_that_does_not_greet_is_no_qmp_server) {
  Result<qmp::UnixListener> silent = qmp::UnixListener::bind(path_);
  ASSERT_TRUE(silent.has_value());
  Fd client;
  std::thread peer([&] {
    pollfd waiting{silent->fd(), POLLIN, 0};
    ::poll(&waiting, 1, -1);
    client = std::move(silent->accept()).value();
    EXPECT_EQ(::send(client.get(), "{}\n", 3, MSG_NOSIGNAL), 3);
  });
  const Result<QmpClient> made = QmpClient::connect(path_, kLong);
  peer.join();
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), ErrorCode::peer_protocol);
}

TEST_F(QmpClientTest, what_is_wrong_with_the_socket_is_said) {
  std::fclose(std::fopen(path_.c_str(), "w"));
  const auto file = QmpClient::connect(path_, QmpConnectOptions{});
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message().find("not a socket"), std::string::npos);
  std::remove(path_.c_str());
}

TEST_F(QmpClientTest, a_server_that_serves_somebody_else_is_not_waited_for_for_ever) {
  Result<qmp::UnixListener> busy = qmp::UnixListener::bind(path_);
  ASSERT_TRUE(busy.has_value());
  QmpConnectOptions options;
  options.greeting = kShort;
  const auto made = QmpClient::connect(path_, options);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), ErrorCode::timed_out);
  EXPECT_NE(made.error().message().find("another client"), std::string::npos);
}

TEST_F(QmpClientTest, a_line_that_is_nested_without_end_is_refused) {
  Result<qmp::UnixListener> hostile = qmp::UnixListener::bind(path_);
  ASSERT_TRUE(hostile.has_value());
  Fd client;
  std::thread peer([&] {
    pollfd waiting{hostile->fd(), POLLIN, 0};
    ::poll(&waiting, 1, -1);
    client = std::move(hostile->accept()).value();
    const std::string line =
        "{\"QMP\":" + std::string(100000, '[') + std::string(100000, ']') + "}\n";
    [[maybe_unused]] const auto n = ::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL);
  });
  const Result<QmpClient> made = QmpClient::connect(path_, kLong);
  peer.join();
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), ErrorCode::peer_protocol);
}

TEST_F(QmpClientTest, returns_values_and_tells_errors_apart) {
  start();
  const auto client = connect();
  EXPECT_EQ((*client->execute("query-status"))["status"], "running");
  const Result<Json> unknown = client->execute("nosuch");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code(), ErrorCode::unsupported);
  const Result<Json> refused = client->execute("migrate", {{"uri", "x"}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(refused.error().message().rfind("migrate: GenericError: ", 0), 0u);
}

TEST_F(QmpClientTest, events_are_collected_and_waited_for) {
  start();
  const auto client = connect_with_events();
  ASSERT_TRUE(client->execute("stop").has_value());
  ASSERT_TRUE(client->execute("cont").has_value());
  ASSERT_TRUE(client->execute("migrate", {{"uri", "tcp:h:1"}}).has_value());
  source_.become(Status::active);
  source_.become(Status::completed);
  EXPECT_TRUE(client->wait_event("RESUME", "", kLong).has_value());
  const Result<Json> completed = client->wait_event("MIGRATION", "completed", kLong);
  ASSERT_TRUE(completed.has_value());
  EXPECT_EQ((*completed)["data"]["status"], "completed");
  EXPECT_TRUE(client->take_events().empty());
  EXPECT_TRUE((*client->next_event(kShort)).is_null());
  const Result<Json> never = client->wait_event("STOP", "", kShort);
  ASSERT_FALSE(never.has_value());
  EXPECT_EQ(never.error().code(), ErrorCode::timed_out);
}

TEST_F(QmpClientTest, a_migration_is_watched_to_its_end) {
  start();
  const auto client = connect_with_events();
  ASSERT_TRUE(client->execute("migrate", {{"uri", "tcp:h:1"}}).has_value());
  int shown = 0;
  const Result<Json> end = client->watch_migration(QmpClient::Ms{1}, kLong, [&](const Json&) {
    if (++shown == 3) source_.become(Status::failed, "why");
  });
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ((*end)["error-desc"], "why");
  EXPECT_GE(shown, 4);
}

TEST_F(QmpClientTest, a_migration_that_goes_on_for_too_long_is_timed_out) {
  start();
  const auto client = connect();
  ASSERT_TRUE(client->execute("migrate", {{"uri", "tcp:h:1"}}).has_value());
  const Result<Json> end = client->watch_migration(QmpClient::Ms{5}, kShort, {});
  ASSERT_FALSE(end.has_value());
  EXPECT_EQ(end.error().code(), ErrorCode::timed_out);
}

TEST_F(QmpClientTest, a_descriptor_goes_along_with_a_command) {
  start();
  const auto client = connect();
  const Fd fd(::eventfd(0, EFD_CLOEXEC));
  EXPECT_TRUE(client->execute("getfd", {{"fdname", "mig"}}, fd.get()).has_value());
  EXPECT_TRUE(client->execute("closefd", {{"fdname", "mig"}}).has_value());
  EXPECT_FALSE(client->execute("getfd", {{"fdname", "mig"}}).has_value());
}

TEST_F(QmpClientTest, a_server_that_ends_is_an_error_of_the_channel) {
  start();
  const auto client = connect();
  plane_->stop();
  server_.join();
  const Result<Json> gone = client->execute("query-status");
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code(), ErrorCode::channel);
}

}  // namespace
}  // namespace tern::tool
