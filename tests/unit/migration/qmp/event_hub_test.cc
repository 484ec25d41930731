// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/event_hub.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

struct Client {
  Client() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    outbox = std::make_unique<Outbox>(Fd(fds[0]));
    far = Fd(fds[1]);
    wake_fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  std::vector<Json> lines() {
    outbox->flush();
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    while ((n = ::recv(far.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
      text.append(buffer.data(), static_cast<size_t>(n));
      outbox->flush();
    }
    std::vector<Json> out;
    size_t end = 0;
    while ((end = text.find("\r\n")) != std::string::npos) {
      out.push_back(Json::parse(text.substr(0, end)));
      text.erase(0, end + 2);
    }
    return out;
  }
  std::unique_ptr<Outbox> outbox;
  Fd far;
  Fd wake_fd;
  std::string text;
};

TEST(EventHub, an_event_has_name_timestamp_and_data_if_there_is_any) {
  ManualClock clock;
  EventHub hub(clock);
  Client client;
  hub.subscribe(*client.outbox, client.wake_fd.get(), "{\"return\": {}}\r\n");
  hub.emit("STOP");
  hub.emit("MIGRATION", {{"status", "active"}});
  const std::vector<Json> lines = client.lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], Json::parse(R"({"return": {}})"));
  EXPECT_EQ(lines[1], Json::parse(R"({"event": "STOP",
      "timestamp": {"seconds": 1700000000, "microseconds": 123456}})"));
  EXPECT_EQ(lines[2]["data"], Json::parse(R"({"status": "active"})"));
}

TEST(EventHub, only_subscribers_get_events) {
  ManualClock clock;
  EventHub hub(clock);
  Client client;
  hub.emit("BEFORE");
  hub.subscribe(*client.outbox, client.wake_fd.get(), "{}\r\n");
  hub.unsubscribe(*client.outbox);
  hub.unsubscribe(*client.outbox);
  hub.emit("AFTER");
  EXPECT_EQ(client.lines(), std::vector<Json>{Json::object()});
}

TEST(EventHub, a_loop_is_woken_only_for_what_it_has_to_do) {
  ManualClock clock;
  EventHub hub(clock);
  Client client;
  hub.subscribe(*client.outbox, client.wake_fd.get(), "{}\r\n");
  uint64_t count = 0;
  hub.emit("STOP");
  EXPECT_EQ(::read(client.wake_fd.get(), &count, sizeof count), -1);
  while (client.outbox->pending_bytes() == 0) hub.emit("STOP");
  EXPECT_EQ(::read(client.wake_fd.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
}

TEST(EventHub, events_of_many_threads_reach_all_clients_in_one_order) {
  ManualClock clock;
  EventHub hub(clock);
  std::array<Client, 3> clients;
  for (Client& client : clients) {
    hub.subscribe(*client.outbox, client.wake_fd.get(), "{}\r\n");
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&hub, t] {
      for (int i = 0; i < 200; ++i) hub.emit("E", {{"thread", t}, {"n", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<Json> first = clients[0].lines();
  EXPECT_EQ(first.size(), 801u);
  EXPECT_EQ(clients[1].lines(), first);
  EXPECT_EQ(clients[2].lines(), first);
}

}  // namespace
}  // namespace tern::qmp
