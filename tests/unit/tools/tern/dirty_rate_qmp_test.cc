// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_qmp.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/ctl_support.h"
#include "tools/tern/dirty_rate_process.h"

namespace tern::tool {
namespace {

using Lines = test::ScriptedServer::Lines;
using Ms = std::chrono::milliseconds;

constexpr const char* kGreeting =
    R"({"QMP": {"version": {"qemu": {"major": 9, "minor": 1, "micro": 2}, "package": "Distro"}}})";

// The commands as QEMU 7.2 has them; `more` are further members of the arguments.
std::string schema_reply(const std::string& more) {
  std::string text = R"({"return": [
    {"name": "int", "meta-type": "builtin", "json-type": "int"},
    {"name": "1", "meta-type": "enum", "values": ["page-sampling", "dirty-ring"]},
    {"name": "2", "meta-type": "object", "members": [{"name": "calc-time", "type": "int"},
      {"name": "sample-pages", "type": "int", "default": null},
      {"name": "mode", "type": "1", "default": null})" +
                     more + R"(]},
    {"name": "3", "meta-type": "object", "members": []},
    {"name": "calc-dirty-rate", "meta-type": "command", "arg-type": "2", "ret-type": "3"},
    {"name": "query-dirty-rate", "meta-type": "command", "arg-type": ")" +
                     std::string(more.empty() ? "3" : "2") + R"(", "ret-type": "3"}]})";
  std::erase(text, '\n');
  return text;
}

// Measuring once, then what `measured` says.
test::ScriptedServer::Script script(const std::string& more, const std::string& measured,
                                    bool kvm = false) {
  return [=, asked = 0](const Json& request) mutable -> std::optional<Lines> {
    const std::string command = request.at("execute");
    if (command == "query-qmp-schema") return Lines{schema_reply(more)};
    if (command == "query-kvm") {
      return Lines{kvm ? R"({"return": {"enabled": true}})" : R"({"return": {"enabled": false}})"};
    }
    if (command == "calc-dirty-rate") return Lines{R"({"return": {}})"};
    if (command != "query-dirty-rate") return std::nullopt;
    if (asked++ == 0) return Lines{R"({"return": {"status": "measuring", "calc-time": 1}})"};
    return Lines{R"({"return": )" + measured + "}"};
  };
}

constexpr const char* kMeasured =
    R"({"status": "measured", "dirty-rate": 36, "calc-time": 1, "sample-pages": 512,
        "start-time": 5, "mode": "page-sampling"})";
std::string measured() {
  std::string text = kMeasured;
  std::erase(text, '\n');
  return text;
}

TEST(DirtyRateQmp, a_server_that_counts_in_seconds_gets_whole_ones) {
  test::ScriptedServer server(script("", measured()), kGreeting);
  Result<QmpRateClient> client = QmpRateClient::connect(server.path());
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_EQ(client->server(), "QEMU 9.1.2 (Distro)");
  EXPECT_FALSE(client->takes_milliseconds());
  const auto rate = client->measure({"", Ms(300), 1024});
  ASSERT_TRUE(rate) << rate.error().message();
  EXPECT_EQ((*rate)->mib_per_s, 36);
  EXPECT_EQ((*rate)->window, Ms(1000));
  ASSERT_EQ((*rate)->notes.size(), 1u);
  EXPECT_NE((*rate)->notes[0].find("1 s instead"), std::string::npos) << (*rate)->notes[0];
  EXPECT_TRUE(client->measure({"", Ms(1000), 0})->value().notes.empty());
  EXPECT_EQ((*rate)->interval, Ms(1000));
  const std::vector<Json> requests = server.requests();
  EXPECT_EQ(requests[1].at("arguments"), Json({{"calc-time", 1}, {"sample-pages", 1024}}));
}

TEST(DirtyRateQmp, a_server_that_knows_milliseconds_gets_them) {
  test::ScriptedServer server(
      script(R"(, {"name": "calc-time-unit", "type": "int", "default": null})",
             R"({"status": "measured", "dirty-rate": 36, "calc-time": 312, "mode": "dirty-ring",)"
             R"( "calc-time-unit": "millisecond", "sample-pages": 0,)"
             R"( "vcpu-dirty-rate": [{"id": 1, "dirty-rate": 31}]})",
             true),
      kGreeting);
  Result<QmpRateClient> client = QmpRateClient::connect(server.path());
  const auto rate = client->measure({"dirty-ring", Ms(300), 0});
  ASSERT_TRUE(rate) << rate.error().message();
  EXPECT_EQ((*rate)->interval, Ms(312));
  // The unit is asked for each time; QEMU 7.2's command has no arguments.
  EXPECT_EQ(server.requests().back().at("arguments"), Json({{"calc-time-unit", "millisecond"}}));
  EXPECT_EQ((*rate)->vcpus, (std::vector<std::pair<int64_t, double>>{{1, 31.0}}));
  EXPECT_EQ(server.requests()[2].at("arguments"),
            Json({{"calc-time", 300}, {"calc-time-unit", "millisecond"}, {"mode", "dirty-ring"}}));
}

TEST(DirtyRateQmp, modes_of_kvm_are_not_asked_of_a_server_without_it) {
  test::ScriptedServer server(script("", measured()), kGreeting);
  Result<QmpRateClient> client = QmpRateClient::connect(server.path());
  const auto rate = client->measure({"dirty-ring", Ms(300), 0});
  ASSERT_FALSE(rate);
  EXPECT_EQ(rate.error().sys_errno(), kNotAvailable);
  for (const Json& request : server.requests()) {
    EXPECT_NE(request.at("execute"), "calc-dirty-rate");
  }
  const auto unknown = client->measure({"dirty-bitmap", Ms(300), 0});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().sys_errno(), kNotAvailable);
  EXPECT_FALSE(client->measure({"", std::chrono::minutes(2), 0}));
}

TEST(DirtyRateQmp, a_server_that_is_not_there_or_goes_is_told) {
  const Result<QmpRateClient> nobody = QmpRateClient::connect("/nowhere/qmp");
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().sys_errno(), kProcessGone);
  test::ScriptedServer server(
      [](const Json& request) -> std::optional<Lines> {
        if (request.at("execute") != "query-qmp-schema") return std::nullopt;
        return Lines{schema_reply("")};
      },
      kGreeting);
  Result<QmpRateClient> client = QmpRateClient::connect(server.path());
  ASSERT_TRUE(client);
  const auto rate = client->measure({"", Ms(300), 0});
  ASSERT_FALSE(rate);
  EXPECT_EQ(rate.error().sys_errno(), kProcessGone);
}

TEST(DirtyRateQmp, a_stop_ends_every_wait_for_a_server_that_hangs) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const Fd stop(pipe[0]);
  const Fd tell(pipe[1]);
  // It does not answer this; the user has enough of it then.
  test::ScriptedServer server(
      [&](const Json& request) -> std::optional<Lines> {
        if (request.at("execute") == "query-qmp-schema") return Lines{schema_reply("")};
        EXPECT_EQ(::write(tell.get(), "", 1), 1);
        return Lines{};
      },
      kGreeting);
  {
    Result<QmpRateClient> client = QmpRateClient::connect(server.path(), stop.get());
    ASSERT_TRUE(client) << client.error().message();
    const auto rate = client->measure({"", Ms(300), 0});
    ASSERT_TRUE(rate) << rate.error().message();
    EXPECT_FALSE(*rate);
  }
  // One that does not even greet: nobody accepts this one's connection.
  char name[] = "/tmp/tern-hang-XXXXXX";
  const std::string path = std::string(::mkdtemp(name)) + "/qmp";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  ASSERT_EQ(::bind(listener.get(), plain, sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const Result<QmpRateClient> hangs = QmpRateClient::connect(path, stop.get());
  ASSERT_FALSE(hangs);
  EXPECT_EQ(hangs.error().code(), ErrorCode::cancelled);
  ::unlink(path.c_str());
  ::rmdir(name);
}

TEST(DirtyRateQmp, a_server_without_the_command_is_told) {
  test::ScriptedServer server(
      [](const Json&) -> std::optional<Lines> { return Lines{R"({"return": []})"}; }, kGreeting);
  const Result<QmpRateClient> client = QmpRateClient::connect(server.path());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().sys_errno(), kNotAvailable);
}

TEST(DirtyRateQmp, replies_are_checked) {
  EXPECT_FALSE(read_dirty_rate(Json::object()));
  EXPECT_FALSE(read_dirty_rate({{"calc-time", 1}}));
  EXPECT_FALSE(read_dirty_rate({{"calc-time", -1}, {"dirty-rate", 5}}));
  EXPECT_FALSE(read_dirty_rate({{"calc-time", "1"}, {"dirty-rate", 5}}));
  const Result<QmpRate> nothing = read_dirty_rate({{"calc-time", 1}, {"dirty-rate", -1}});
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->mib_per_s);
  const Result<QmpRate> of_tern = read_dirty_rate(
      {{"calc-time", 1}, {"dirty-rate", 1}, {"x-tern", {{"bytes-per-second", 1.5 * 1048576}}}});
  EXPECT_EQ(of_tern->mib_per_s, 1.5);
  EXPECT_FALSE(of_tern->low || of_tern->high);
  const auto bounds = [](const Json& low, const Json& high) {
    return read_dirty_rate(
               {{"calc-time", 1}, {"dirty-rate", 1}, {"x-tern", {{"low", low}, {"high", high}}}})
        .value();
  };
  EXPECT_EQ(bounds(1 << 20, 2 << 20).low, 1.0);
  EXPECT_EQ(bounds(1 << 20, 2 << 20).high, 2.0);
  for (const QmpRate& odd : {bounds(2, 1), bounds(-1, 1), bounds("1", 2), bounds(1, nullptr)}) {
    EXPECT_FALSE(odd.low || odd.high);
  }
  const Result<QmpRate> odd = read_dirty_rate(
      {{"calc-time", 1}, {"dirty-rate", 1}, {"sample-pages", -7}, {"vcpu-dirty-rate", {1, "x"}}});
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->sample_pages, 0u);
}

}  // namespace
}  // namespace tern::tool
