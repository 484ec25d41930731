// SPDX-License-Identifier: Apache-2.0
//
// The whole server, as its clients see it: over real sockets, with threads as a VMM has them.
#include "migration/qmp/server.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/migration/qmp/plane_fixture.h"
#include "tests/unit/migration/qmp/qmp_socket.h"

namespace tern::qmp {
namespace {

class ServerTest : public PlaneTest {
 protected:
  ServerTest() {
    char name[] = "/tmp/tern-qmp-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/a";
    second_path_ = directory_ + "/b";
  }
  ~ServerTest() override {
    end();
    std::remove(directory_.c_str());
  }
  void serve(const std::string& path) {
    servers_.emplace_back([this, path] { EXPECT_TRUE(plane_->serve_unix(path).has_value()); });
  }
  void start(const QmpOptions& options = {}) {
    create(options);
    serve(path_);
  }
  void end() {
    if (plane_) plane_->stop();
    for (std::thread& server : servers_) server.join();
    servers_.clear();
  }
  QmpSocket client() { return QmpSocket::connect(path_); }

  std::string directory_;
  std::string path_;
  std::string second_path_;
  std::vector<std::thread> servers_;
};

/// A VMM's main loop that runs what it is given when the test says so.
class MainLoop final : public QmpDispatcher {
 public:
  void post(std::function<void()> work) noexcept override {
    const std::lock_guard lock(mutex_);
    works_.push_back(std::move(work));
    posted_.notify_all();
  }
  void wait_posted() {
    std::unique_lock lock(mutex_);
    posted_.wait(lock, [this] { return !works_.empty(); });
  }
  void turn() {
    wait_posted();
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      work = std::move(works_.front());
      works_.pop_front();
    }
    work();
  }

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> works_;
};

const std::string kStatus = R"({"execute":"query-status"})";

TEST_F(ServerTest, a_client_is_greeted_and_negotiates) {
  start();
  QmpSocket c = client();
  const Json greeting = c.json();
  EXPECT_TRUE(greeting["QMP"]["version"]["qemu"]["major"].is_number());
  EXPECT_TRUE(greeting["QMP"]["capabilities"].is_array());
  EXPECT_EQ(c.ask(kStatus)["error"]["class"], "CommandNotFound");
  EXPECT_EQ(c.ask(R"({"execute":"qmp_capabilities"})"), Json({{"return", kOk}}));
  EXPECT_EQ(c.ask(kStatus)["return"]["status"], "running");
}

TEST_F(ServerTest, a_new_connection_negotiates_anew) {
  start();
  {
    QmpSocket first = client();
    first.negotiate();
  }
  QmpSocket second = client();
  EXPECT_TRUE(second.json().contains("QMP"));
  EXPECT_EQ(second.ask(kStatus)["error"]["class"], "CommandNotFound");
}

TEST_F(ServerTest, a_second_client_waits_for_its_greeting_until_the_first_one_left) {
  start();
  QmpSocket first = client();
  first.negotiate();
  QmpSocket second = client();
  EXPECT_TRUE(first.ask(kStatus).contains("return"));
  EXPECT_FALSE(second.has_input(0));
  first.close();
  EXPECT_TRUE(second.json().contains("QMP"));
}

TEST_F(ServerTest, two_sockets_serve_two_clients_at_once_and_both_get_the_events) {
  start();
  serve(second_path_);
  QmpSocket a = client();
  a.negotiate();
  QmpSocket b = QmpSocket::connect(second_path_);
  b.negotiate();
  a.send(R"({"execute":"stop"})");
  EXPECT_EQ(a.json()["event"], "STOP");
  EXPECT_EQ(a.json(), Json({{"return", kOk}}));
  EXPECT_EQ(b.json()["event"], "STOP");
}

TEST_F(ServerTest, requests_may_come_in_pieces_and_in_bursts) {
  start();
  QmpSocket c = client();
  c.negotiate();
  for (char byte : std::string("{ \"execute\":\n\"query-status\" ,\r\n \"id\" : [1] }")) {
    c.send(std::string_view(&byte, 1));
  }
  EXPECT_EQ(c.reply()["id"], Json({1}));
  std::string burst;
  for (int i = 0; i < 500; ++i) {
    burst += R"({"execute":"query-status","id":)" + std::to_string(i) + "}";
  }
  c.send(burst);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(c.reply()["id"], i);
}

TEST_F(ServerTest, malformed_input_is_an_error_and_the_server_goes_on) {
  start();
  QmpSocket c = client();
  c.negotiate();
  for (const char* bad : {"}", "{\"a\":\x01", "\xFF", "{\"a\":01}", "[1,2]", "{'execute':1}",
                          "{\"execute\":\"x\n", "{\"a\":1,\"a\":2}", "{\"id\":\"\xC0\x80\"}"}) {
    c.send(bad);
    EXPECT_EQ(c.reply()["error"]["class"], "GenericError") << bad;
    EXPECT_TRUE(c.ask(kStatus).contains("return")) << bad;
  }
}

TEST_F(ServerTest, nesting_and_size_beyond_the_limits_are_errors_and_the_server_goes_on) {
  start();
  QmpSocket c = client();
  c.negotiate();
  c.send(std::string(100000, '['));
  EXPECT_EQ(c.reply()["error"]["desc"], "JSON nesting depth limit exceeded");
  c.send("\xFF");
  EXPECT_TRUE(c.reply().contains("error"));
  std::thread sender([&] { c.send("{\"x\":\"" + std::string(65u << 20, 'x') + "\"}" + kStatus); });
  EXPECT_EQ(c.reply()["error"]["desc"], "JSON token size limit exceeded");
  EXPECT_TRUE(c.reply().contains("return"));
  sender.join();
}

TEST_F(ServerTest, migration_events_come_only_while_the_capability_is_on) {
  start();
  QmpSocket c = client();
  c.negotiate();
  ASSERT_TRUE(c.ask(R"({"execute":"migrate","arguments":{"uri":"tcp:h:1"}})").contains("return"));
  source_.become(Status::active);
  source_.become(Status::cancelled);
  ASSERT_TRUE(c.ask(R"({"execute":"migrate-set-capabilities","arguments":{"capabilities":[)"
                    R"({"capability":"events","state":true}]}})")
                  .contains("return"));
  c.send(R"({"execute":"migrate","arguments":{"uri":"tcp:h:1"}})");
  EXPECT_EQ(c.json()["data"], Json({{"status", "setup"}}));
  EXPECT_TRUE(c.json().contains("return"));
  source_.become(Status::active);
  source_.pass(2);
  ASSERT_TRUE(source_.vcpus().pause_all(RunState::finish_migrate).has_value());
  source_.become(Status::completed);
  EXPECT_EQ(c.json()["data"], Json({{"status", "active"}}));
  EXPECT_EQ(c.json()["data"], Json({{"pass", 2}}));
  EXPECT_EQ(c.json()["event"], "STOP");
  EXPECT_EQ(c.json()["data"], Json({{"status", "completed"}}));
}

TEST_F(ServerTest, a_client_that_has_not_negotiated_gets_no_events) {
  start();
  serve(second_path_);
  QmpSocket silent = client();
  EXPECT_TRUE(silent.json().contains("QMP"));
  QmpSocket other = QmpSocket::connect(second_path_);
  other.negotiate();
  ASSERT_TRUE(other.ask(R"({"execute":"stop"})").contains("return"));
  EXPECT_TRUE(silent.ask(kStatus).contains("error"));
}

TEST_F(ServerTest, quit_tells_shutdown_then_replies_then_ends) {
  start();
  QmpSocket c = client();
  c.negotiate();
  c.send(R"({"execute":"quit","id":"q"})");
  const Json event = c.json();
  EXPECT_EQ(event["event"], "SHUTDOWN");
  EXPECT_EQ(event["data"], Json::parse(R"({"guest":false,"reason":"host-qmp-quit"})"));
  EXPECT_EQ(c.json(), Json::parse(R"({"id":"q","return":{}})"));
  end();
  EXPECT_EQ(vm_.quits, 1);
  EXPECT_EQ(c.line(), "");
}

TEST_F(ServerTest, out_of_band_commands_overtake_those_that_wait_for_the_vmm) {
  MainLoop loop;
  start({.dispatcher = &loop});
  QmpSocket c = client();
  EXPECT_EQ(c.json()["QMP"]["capabilities"], Json::array({"oob"}));
  c.send(R"({"execute":"qmp_capabilities","arguments":{"enable":["oob"]}})");
  loop.turn();
  EXPECT_TRUE(c.json().contains("return"));
  c.send(R"({"execute":"query-status","id":1}{"execute":"query-name","id":2})"
         R"({"exec-oob":"query-yank","id":3}{"execute":"query-uuid","id":4})");
  EXPECT_EQ(c.json()["id"], 3) << "while the VMM does something else";
  for (const int id : {1, 2, 4}) {
    loop.turn();
    EXPECT_EQ(c.json()["id"], id) << "the others in their order";
  }
  end();
}

TEST_F(ServerTest, without_oob_commands_run_on_the_vmms_loop_one_after_the_other) {
  MainLoop loop;
  start({.dispatcher = &loop});
  QmpSocket c = client();
  EXPECT_TRUE(c.json().contains("QMP"));
  c.send(R"({"execute":"qmp_capabilities"}{"exec-oob":"query-yank","id":1})"
         R"({"execute":"query-name","id":2})");
  loop.turn();
  EXPECT_TRUE(c.json().contains("return"));
  loop.turn();
  EXPECT_EQ(c.json()["error"]["desc"], "QMP input member 'exec-oob' is unexpected");
  loop.turn();
  EXPECT_EQ(c.json()["id"], 2);
  end();
}

TEST_F(ServerTest, a_client_that_goes_while_its_command_waits_for_the_vmm_does_no_harm) {
  MainLoop loop;
  start({.dispatcher = &loop});
  {
    QmpSocket c = client();
    c.send(R"({"execute":"qmp_capabilities"}{"execute":"stop"})");
    loop.wait_posted();
  }
  QmpSocket next = client();
  loop.turn();
  EXPECT_TRUE(next.json().contains("QMP"));
  end();
}

TEST_F(ServerTest, a_client_that_only_sends_still_gets_its_answers) {
  start();
  QmpSocket c = client();
  c.send(R"({"execute":"qmp_capabilities"}{"execute":"query-status"})"
         "\n12");
  c.finish_sending();
  EXPECT_TRUE(c.json().contains("QMP"));
  EXPECT_TRUE(c.json().contains("return"));
  EXPECT_TRUE(c.json().contains("return"));
  EXPECT_EQ(c.json()["error"]["desc"], "QMP input must be a JSON object");
  EXPECT_EQ(c.line(), "");
}

TEST_F(ServerTest, clients_that_vanish_at_any_moment_do_no_harm) {
  start();
  std::mt19937 random(11);
  const std::string all = R"({"execute":"qmp_capabilities"}{"execute":"stop"})"
                          R"({"execute":"cont"}{"execute":"query-migrate"})";
  for (int i = 0; i < 200; ++i) {
    QmpSocket c = client();
    c.send(std::string_view(all).substr(0, random() % all.size()));
  }
  QmpSocket last = client();
  last.negotiate();
  EXPECT_TRUE(last.ask(kStatus).contains("return"));
}

TEST_F(ServerTest, a_client_that_does_not_read_is_dropped_and_never_holds_up_the_migration) {
  start();
  QmpSocket stuck = client();
  stuck.negotiate();
  ASSERT_TRUE(stuck
                  .ask(R"({"execute":"migrate-set-capabilities","arguments":{"capabilities":[)"
                       R"({"capability":"events","state":true}]}})")
                  .contains("return"));
  ASSERT_TRUE(run("migrate", {{"uri", "tcp:h:1"}}).contains("return"));
  for (uint64_t i = 0; i < 30000; ++i) source_.pass(i);
  QmpSocket next = client();
  next.negotiate();
  EXPECT_TRUE(next.ask(kStatus).contains("return"));
  end();
  EXPECT_EQ(log_.lines(), std::vector<std::string>{
                              "warning: a QMP client did not read its events and was dropped"});
}

TEST_F(ServerTest, a_client_that_asks_without_reading_waits_and_loses_nothing) {
  start();
  QmpSocket c = client();
  c.negotiate();
  constexpr int kRequests = 4000;
  std::thread sender([&] {
    for (int i = 0; i < kRequests; ++i) {
      c.send(R"({"execute":"query-commands","id":)" + std::to_string(i) + "}\n");
    }
  });
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(c.reply()["id"], i);
  sender.join();
}

TEST_F(ServerTest, a_descriptor_arrives_with_getfd_and_is_used_by_its_name) {
  start();
  QmpSocket c = client();
  c.negotiate();
  const std::string getfd = R"({"execute":"getfd","arguments":{"fdname":"mig"}})";
  EXPECT_TRUE(c.ask(getfd).contains("error"));
  const Fd pipe_end(::eventfd(0, EFD_CLOEXEC));
  c.send_with_fd(getfd, pipe_end.get());
  EXPECT_EQ(c.reply(), Json({{"return", kOk}}));
  EXPECT_TRUE(c.ask(R"({"execute":"migrate","arguments":{"uri":"fd:mig"}})").contains("return"));
  EXPECT_EQ(source_.calls().back().rfind("start fd:", 0), 0u);
  ::close(
      std::stoi(source_.calls().back().substr(9)));  // the migration's now, and that is a script
  EXPECT_TRUE(c.ask(R"({"execute":"closefd","arguments":{"fdname":"mig"}})").contains("error"));
  c.send_with_fd(getfd, pipe_end.get());
  EXPECT_EQ(c.reply(), Json({{"return", kOk}}));
  EXPECT_TRUE(c.ask(R"({"execute":"closefd","arguments":{"fdname":"mig"}})").contains("return"));
}

TEST_F(ServerTest, a_descriptor_goes_to_the_request_it_came_with_and_to_no_later_one) {
  start();
  QmpSocket c = client();
  c.negotiate();
  const Fd stray(::eventfd(0, EFD_CLOEXEC));
  const std::string getfd = R"({"execute":"getfd","arguments":{"fdname":"mig"}})";
  c.send_with_fd(kStatus, stray.get());
  EXPECT_TRUE(c.reply().contains("return"));
  EXPECT_TRUE(c.ask(getfd).contains("error")) << "what query-status did not take is gone";
  c.send_with_fd(R"({"execute":"getfd","arguments":{"nosuch":1}})", stray.get());
  EXPECT_TRUE(c.reply().contains("error"));
  EXPECT_TRUE(c.ask(getfd).contains("error")) << "what a refused getfd did not take is gone";
  c.send_with_fd(" ", stray.get());
  EXPECT_EQ(c.ask(getfd), Json({{"return", kOk}})) << "some clients send it before the text";
}

TEST_F(ServerTest, the_socket_is_private_and_gone_afterwards) {
  start();
  (void)client();
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  end();
  EXPECT_NE(::lstat(path_.c_str(), &info), 0);
}

TEST_F(ServerTest, a_path_in_use_is_an_error_of_serve) {
  start();
  (void)client();
  const Result<void> second = plane_->serve_unix(path_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), ErrorCode::failed_precondition);
}

TEST_F(ServerTest, stop_ends_servers_that_wait_or_serve_or_have_not_begun) {
  start();
  serve(second_path_);
  QmpSocket c = client();
  c.negotiate();
  (void)QmpSocket::connect(second_path_);
  end();
  EXPECT_EQ(c.line(), "");
  EXPECT_TRUE(plane_->serve_unix(path_).has_value());
}

TEST_F(ServerTest, random_bytes_never_end_the_server) {
  start();
  std::mt19937 random(5);
  for (int round = 0; round < 30; ++round) {
    QmpSocket c = client();
    std::string bytes = R"({"execute":"qmp_capabilities"})";
    for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(random() % 256);
    std::thread sender([&] {
      c.send(bytes);
      c.finish_sending();
    });
    while (c.json().is_object()) {
    }
    sender.join();
  }
  QmpSocket c = client();
  c.negotiate();
  EXPECT_TRUE(c.ask(kStatus).contains("return"));
}

TEST_F(ServerTest, many_clients_and_migration_threads_at_once) {
  start();
  serve(second_path_);
  ASSERT_TRUE(run("migrate-set-capabilities",
                  {{"capabilities", {{{"capability", "events"}, {"state", true}}}}})
                  .contains("return"));
  ASSERT_TRUE(run("migrate", {{"uri", "tcp:h:1"}}).contains("return"));
  std::thread migration([&] {
    // Fewer bytes than a client may leave unread: none is dropped, however slowly it reads.
    for (uint64_t i = 0; i < 3000; ++i) {
      source_.pass(i);
      source_.become(Status::active);
    }
  });
  std::vector<std::thread> clients;
  for (const std::string& path : {path_, second_path_}) {
    clients.emplace_back([path] {
      for (int round = 0; round < 5; ++round) {
        QmpSocket c = QmpSocket::connect(path);
        c.negotiate();
        for (int i = 0; i < 50; ++i) {
          EXPECT_TRUE(c.ask(R"({"execute":"query-migrate"})").contains("return"));
          EXPECT_TRUE(c.ask(R"({"execute":"stop"})").contains("return"));
          EXPECT_TRUE(c.ask(R"({"execute":"cont"})").contains("return"));
        }
      }
    });
  }
  for (std::thread& c : clients) c.join();
  migration.join();
}

}  // namespace
}  // namespace tern::qmp
