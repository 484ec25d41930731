// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_watch.h"

#include <atomic>

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

using Lines = test::ScriptedServer::Lines;

constexpr std::chrono::milliseconds kShort{10};

std::string migration(const std::string& status, const std::string& more = "") {
  return R"({"return": {"status": ")" + status + "\"" + more + "}}";
}

struct Watched {
  Result<bool> result;
  std::string text;
};

Watched watch_server(test::ScriptedServer& server, bool until_end, bool json = false,
                     std::optional<std::chrono::milliseconds> limit = {}) {
  auto client = QmpClient::connect(server.path(), QmpConnectOptions{});
  EXPECT_TRUE(client.has_value());
  WatchOptions options;
  options.interval = kShort;
  options.until_end = until_end;
  options.json = json;
  options.limit = limit;
  test::Capture out;
  auto result = watch(*client, options, out.file());
  return {std::move(result), out.text()};
}

TEST(CtlWatch, events_and_states_are_shown_until_the_migration_ends) {
  std::atomic<int> looks{0};
  test::ScriptedServer server([&](const Json&) -> std::optional<Lines> {
    const int n = ++looks;
    if (n == 1) return Lines{migration("setup")};
    if (n == 2) {
      return Lines{R"({"event": "MIGRATION", "data": {"status": "active"}})", migration("active")};
    }
    return Lines{migration("completed", R"(, "total-time": 40, "downtime": 3)")};
  });
  const Watched watched = watch_server(server, true);
  ASSERT_TRUE(watched.result.has_value());
  EXPECT_TRUE(*watched.result);
  const size_t setup = watched.text.find("  setup\n");
  const size_t event = watched.text.find("  MIGRATION status=active\n");
  const size_t end = watched.text.find("  completed in 40 ms, downtime 3 ms\n");
  EXPECT_LT(setup, event) << watched.text;
  EXPECT_LT(event, end) << watched.text;
  EXPECT_NE(end, std::string::npos) << watched.text;
}

TEST(CtlWatch, a_failed_migration_is_not_well) {
  test::ScriptedServer server([](const Json&) -> std::optional<Lines> {
    return Lines{migration("failed", R"(, "error-desc": "no route")")};
  });
  const Watched watched = watch_server(server, true);
  ASSERT_TRUE(watched.result.has_value());
  EXPECT_FALSE(*watched.result);
  EXPECT_NE(watched.text.find("failed: no route"), std::string::npos) << watched.text;
}

TEST(CtlWatch, json_is_one_object_a_line) {
  std::atomic<int> looks{0};
  test::ScriptedServer server([&](const Json&) -> std::optional<Lines> {
    if (++looks == 1) return Lines{R"({"event": "STOP"})", migration("device")};
    return Lines{migration("completed")};
  });
  const Watched watched = watch_server(server, true, true);
  ASSERT_TRUE(watched.result.has_value());
  std::vector<Json> lines;
  std::string text = watched.text;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    lines.push_back(Json::parse(text.substr(0, end)));
    text.erase(0, end + 1);
  }
  ASSERT_EQ(lines.size(), 4u) << watched.text;
  EXPECT_EQ(lines[0]["event"], "STOP");
  EXPECT_EQ(lines[1]["sample"]["status"], "device");
  EXPECT_EQ(lines[2]["sample"]["status"], "completed");
  EXPECT_EQ(lines[3]["end"], "completed");
}

TEST(CtlWatch, a_server_that_announces_its_end_may_end) {
  std::atomic<int> looks{0};
  test::ScriptedServer server([&](const Json&) -> std::optional<Lines> {
    if (++looks == 1) return Lines{migration("none"), R"({"event": "SHUTDOWN", "data": {}})"};
    return std::nullopt;
  });
  const Watched watched = watch_server(server, false);
  ASSERT_TRUE(watched.result.has_value());
  EXPECT_TRUE(*watched.result);
  EXPECT_NE(watched.text.find("SHUTDOWN"), std::string::npos);
}

TEST(CtlWatch, a_server_that_vanishes_is_an_error) {
  test::ScriptedServer server([](const Json&) -> std::optional<Lines> { return std::nullopt; });
  const Watched watched = watch_server(server, false);
  ASSERT_FALSE(watched.result.has_value());
  EXPECT_EQ(watched.result.error().code(), ErrorCode::channel);
}

TEST(CtlWatch, an_announced_end_before_the_migrations_end_is_an_error_all_the_same) {
  std::atomic<int> looks{0};
  test::ScriptedServer server([&](const Json&) -> std::optional<Lines> {
    if (++looks == 1) return Lines{migration("active"), R"({"event": "SHUTDOWN"})"};
    return std::nullopt;
  });
  EXPECT_FALSE(watch_server(server, true).result.has_value());
}

TEST(CtlWatch, the_limit_ends_the_watching) {
  test::ScriptedServer server(
      [](const Json&) -> std::optional<Lines> { return Lines{migration("active")}; });
  const Watched watched = watch_server(server, true, false, kShort);
  ASSERT_FALSE(watched.result.has_value());
  EXPECT_EQ(watched.result.error().code(), ErrorCode::timed_out);
  EXPECT_NE(watched.result.error().message().find("'active'"), std::string::npos);
}

TEST(CtlWatch, a_server_without_query_migrate_has_events_all_the_same) {
  test::ScriptedServer server([](const Json&) -> std::optional<Lines> {
    return Lines{R"({"error": {"class": "CommandNotFound", "desc": "no"}})", R"({"event": "STOP"})",
                 R"({"event": "SHUTDOWN"})", "no json"};
  });
  const Watched watched = watch_server(server, false);
  EXPECT_TRUE(watched.result.has_value());
  EXPECT_NE(watched.text.find("STOP"), std::string::npos);
  test::ScriptedServer again([](const Json&) -> std::optional<Lines> {
    return Lines{R"({"error": {"class": "CommandNotFound", "desc": "no"}})"};
  });
  const Watched until_end = watch_server(again, true);
  ASSERT_FALSE(until_end.result.has_value());
  EXPECT_EQ(until_end.result.error().code(), ErrorCode::unsupported);
}

}  // namespace
}  // namespace tern::tool
