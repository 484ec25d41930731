// SPDX-License-Identifier: Apache-2.0
//
// The control plane with the real engine: two VMs in one process, driven by QMP only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tern/qmp.h"
#include "tests/unit/migration/qmp/plane_fixture.h"
#include "tests/unit/migration/qmp/qmp_socket.h"

namespace tern::qmp {
namespace {

constexpr size_t kRamBytes = 4u << 20;

// One VM with its RAM, its control plane and the thread that serves it.
struct Vm {
  Vm(const std::string& directory, const std::string& name, const QmpOptions& options)
      : ram_bytes(kRamBytes + kTargetPageBytes), path(directory + "/" + name) {
    void* start = ram_bytes.data();
    size_t space = ram_bytes.size();
    host = static_cast<std::byte*>(std::align(kTargetPageBytes, kRamBytes, start, space));
    ram.push_back({.idstr = "m", .host = host, .used_bytes = kRamBytes});
    machine.ram = ram;
    machine.vcpus = &vcpus;
    Result<std::unique_ptr<ControlPlane>> made = ControlPlane::create(machine, vm, options);
    EXPECT_TRUE(made.has_value());
    plane = std::move(made).value();
    EXPECT_TRUE(plane->begin().has_value());
    server = std::thread([this] { EXPECT_TRUE(plane->serve_unix(path).has_value()); });
  }
  ~Vm() {
    plane->stop();
    server.join();
  }
  std::vector<std::byte> ram_bytes;
  std::byte* host = nullptr;
  std::vector<RamBlock> ram;
  RecordingVcpus vcpus;
  RecordingVm vm;
  Machine machine;
  std::string path;
  std::unique_ptr<ControlPlane> plane;
  std::thread server;
};

class RealEngine : public ::testing::Test {
 protected:
  RealEngine() {
    char name[] = "/tmp/tern-plane-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~RealEngine() override {
    std::remove((directory_ + "/link").c_str());
    std::remove(directory_.c_str());
  }
  static QmpSocket client_of(const Vm& vm) {
    QmpSocket client = QmpSocket::connect(vm.path);
    client.negotiate();
    EXPECT_TRUE(client
                    .ask(R"({"execute":"migrate-set-capabilities","arguments":{"capabilities":[)"
                         R"({"capability":"events","state":true}]}})")
                    .contains("return"));
    return client;
  }
  // The statuses told until `last`.
  static std::vector<std::string> statuses_until(QmpSocket& client, const std::string& last) {
    std::vector<std::string> seen;
    while (seen.empty() || seen.back() != last) {
      const Json line = client.json();
      if (!line.is_object()) return seen;
      if (line.value("event", "") == "MIGRATION") seen.push_back(line["data"]["status"]);
    }
    return seen;
  }
  std::string directory_;
};

TEST_F(RealEngine, a_stopped_guest_migrates_between_two_control_planes) {
  Vm source(directory_, "s", {.paused = true});
  Vm destination(directory_, "d", {.incoming = "defer"});
  for (size_t i = 0; i < kRamBytes; i += 4096) source.host[i] = static_cast<std::byte>(i >> 12);
  QmpSocket s = client_of(source);
  QmpSocket d = client_of(destination);
  const std::string uri = R"("arguments":{"uri":"unix:)" + directory_ + R"(/link"}})";

  ASSERT_TRUE(d.ask(R"({"execute":"migrate-incoming",)" + uri).contains("return"));
  ASSERT_TRUE(s.ask(R"({"execute":"migrate",)" + uri).contains("return"));
  const auto at_source = statuses_until(s, "completed");
  const auto at_destination = statuses_until(d, "completed");

  ASSERT_FALSE(at_source.empty());
  EXPECT_EQ(at_source.back(), "completed");
  ASSERT_FALSE(at_destination.empty());
  EXPECT_EQ(at_destination.back(), "completed");
  EXPECT_TRUE(std::equal(source.host, source.host + kRamBytes, destination.host));
  EXPECT_EQ(s.ask(R"({"execute":"query-status"})")["return"]["status"], "postmigrate");
  EXPECT_EQ(d.ask(R"({"execute":"query-status"})")["return"]["running"], false);
  const Json info = s.ask(R"({"execute":"query-migrate"})")["return"];
  EXPECT_EQ(info["ram"]["total"], kRamBytes);
  EXPECT_EQ(info["x-tern"]["ending"], "handed-over");
}

TEST_F(RealEngine, nobody_listening_is_a_failed_migration_and_the_next_one_may_start) {
  Vm source(directory_, "s", {.paused = true});
  QmpSocket s = client_of(source);
  for (int i = 0; i < 2; ++i) {
    s.send(R"({"execute":"migrate","arguments":{"uri":"unix:)" + directory_ + R"(/nobody"}})");
    // The reply may come before, between or after the events.
    std::vector<std::string> seen;
    bool replied = false;
    while (seen.empty() || seen.back() != "failed" || !replied) {
      const Json line = s.json();
      ASSERT_TRUE(line.is_object());
      replied = replied || line.contains("return");
      if (line.value("event", "") == "MIGRATION") seen.push_back(line["data"]["status"]);
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"setup", "failed"}));
    const Json info = s.ask(R"({"execute":"query-migrate"})")["return"];
    EXPECT_EQ(info["status"], "failed");
    EXPECT_NE(info["error-desc"], "");
    EXPECT_EQ(s.ask(R"({"execute":"query-status"})")["return"]["status"], "prelaunch");
  }
}

TEST_F(RealEngine, a_listener_that_cannot_bind_leaves_the_vm_waiting) {
  Vm destination(directory_, "d", {.incoming = "defer"});
  QmpSocket d = client_of(destination);
  EXPECT_TRUE(d.ask(R"({"execute":"migrate-incoming","arguments":{"uri":"unix:/no/such/dir/x"}})")
                  .contains("error"));
  EXPECT_EQ(d.ask(R"({"execute":"query-migrate"})")["return"], kOk);
  ASSERT_TRUE(d.ask(R"({"execute":"migrate-incoming","arguments":{"uri":"tcp:127.0.0.1:0"}})")
                  .contains("return"));
  const Json info = d.ask(R"({"execute":"query-migrate"})")["return"];
  EXPECT_EQ(info["status"], "setup");
  EXPECT_EQ(info["socket-address"][0]["host"], "127.0.0.1");
  EXPECT_NE(info["socket-address"][0]["port"], "0");
}

}  // namespace
}  // namespace tern::qmp
