// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_session.h"

#include <fcntl.h>

#include <sstream>

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

using Lines = test::ScriptedServer::Lines;

struct Ran {
  CtlStatus status;
  std::string out;
  std::string err;
};

Ran run(std::vector<std::string> words, const std::string& input = "") {
  const CtlParsed parsed = parse_ctl(std::move(words));
  EXPECT_TRUE(parsed.run) << parsed.text;
  test::Capture out;
  test::Capture err;
  std::istringstream in(input);
  const CtlStatus status = run_ctl(parsed.options, {out.file(), err.file(), in});
  return {status, out.text(), err.text()};
}

// Has the small schema; refuses to migrate to "bad".
std::optional<Lines> answer(const Json& request) {
  const std::string command = request.value("execute", request.value("exec-oob", ""));
  if (command == "query-qmp-schema") {
    return Lines{Json{{"return", Json::parse(test::kSchemaText)}}.dump()};
  }
  if (command == "query-migrate") return Lines{R"({"return": {"status": "completed"}})"};
  if (request.contains("arguments") && request["arguments"].value("uri", "") == "bad") {
    return Lines{R"({"error": {"class": "GenericError", "desc": "no such place"}})"};
  }
  return Lines{R"({"return": {}})"};
}

class CtlSession : public testing::Test {
 protected:
  Ran ctl(std::vector<std::string> words, const std::string& input = "") {
    words.insert(words.begin(), server_.path());
    return run(std::move(words), input);
  }
  test::ScriptedServer server_{answer};
};

TEST_F(CtlSession, a_command_goes_out_typed_and_its_value_comes_back) {
  const Ran ran = ctl({"migrate-set-parameters", "max-bandwidth=1K"});
  EXPECT_EQ(ran.status, CtlStatus::done);
  EXPECT_EQ(ran.out, "ok\n");
  EXPECT_EQ(server_.requests().back(), (Json{{"execute", "migrate-set-parameters"},
                                             {"arguments", {{"max-bandwidth", 1024}}}}));
}

TEST_F(CtlSession, json_is_the_value_on_one_line) {
  EXPECT_EQ(ctl({"query-migrate", "--json"}).out, "{\"status\":\"completed\"}\n");
}

TEST_F(CtlSession, a_refusal_of_the_server_is_status_1) {
  const Ran ran = ctl({"migrate", "uri=bad"});
  EXPECT_EQ(ran.status, CtlStatus::refused);
  EXPECT_EQ(ran.err, "tern ctl: migrate: no such place\n");
}

TEST_F(CtlSession, a_refusal_in_json_is_the_servers_error_object) {
  const Ran ran = ctl({"migrate", "uri=bad", "--json"});
  EXPECT_EQ(ran.status, CtlStatus::refused);
  EXPECT_EQ(Json::parse(ran.out),
            (Json{{"error", {{"class", "GenericError"}, {"desc", "no such place"}}}}));
  EXPECT_EQ(ran.err, "");
}

TEST_F(CtlSession, a_slip_is_status_2_and_nothing_is_sent) {
  const Ran ran = ctl({"migrate", "urii=x"});
  EXPECT_EQ(ran.status, CtlStatus::usage);
  EXPECT_NE(ran.err.find("did you mean 'uri'"), std::string::npos);
  EXPECT_EQ(server_.requests().size(), 1u);  // query-qmp-schema
}

TEST_F(CtlSession, an_unknown_command_is_a_slip_too) {
  const Ran ran = ctl({"mgirate", "--json"});
  EXPECT_EQ(ran.status, CtlStatus::usage);
  const Json error = Json::parse(ran.out)["error"];
  EXPECT_EQ(error["class"], "Usage");
  EXPECT_NE(error["desc"].get<std::string>().find("'migrate'"), std::string::npos);
}

TEST_F(CtlSession, with_wait_the_migrations_end_decides) {
  const Ran ran = ctl({"migrate", "uri=x", "--wait"});
  EXPECT_EQ(ran.status, CtlStatus::done);
  EXPECT_NE(ran.out.find("completed"), std::string::npos);
}

TEST_F(CtlSession, events_are_enabled_only_when_asked_for) {
  EXPECT_EQ(ctl({"watch", "--until-end", "--enable-events"}).status, CtlStatus::done);
  EXPECT_EQ(server_.requests().front()["arguments"]["capabilities"],
            Json::array({{{"capability", "events"}, {"state", true}}}));
}

TEST_F(CtlSession, watching_changes_nothing) {
  EXPECT_EQ(ctl({"watch", "--until-end"}).status, CtlStatus::done);
  for (const Json& request : server_.requests()) EXPECT_EQ(request["execute"], "query-migrate");
}

TEST_F(CtlSession, out_of_band_nothing_is_asked_first) {
  EXPECT_EQ(ctl({"migrate-pause", "--oob"}).status, CtlStatus::done);
  ASSERT_EQ(server_.requests().size(), 1u);
  EXPECT_EQ(server_.requests()[0]["exec-oob"], "migrate-pause");
}

TEST_F(CtlSession, a_file_goes_along_as_a_descriptor) {
  EXPECT_EQ(ctl({"migrate", "uri=fd:x", "--file", "/dev/null"}).status, CtlStatus::done);
  EXPECT_EQ(server_.descriptors(), 1);
}

TEST_F(CtlSession, a_descriptor_that_is_not_open_is_a_slip) {
  const Ran ran = ctl({"migrate", "uri=fd:x", "--fd", "999"});
  EXPECT_EQ(ran.status, CtlStatus::usage);
  EXPECT_NE(ran.err.find("999"), std::string::npos);
}

TEST_F(CtlSession, help_and_candidates_come_from_the_schema) {
  EXPECT_NE(ctl({"help", "migrate"}).out.find("uri="), std::string::npos);
}

TEST_F(CtlSession, candidates_are_one_a_line) {
  EXPECT_EQ(ctl({"complete", "--", "migrate", ""}).out, "uri=\ndetach=\n");
}

TEST_F(CtlSession, requests_are_read_from_standard_input) {
  const Ran ran = ctl({"-"},
                      "# a note\n{\"execute\": \"qmp_capabilities\", \"id\": 3}\n\n"
                      "{\"execute\": \"query-migrate\"}\n"
                      "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"bad\"}}\n");
  EXPECT_EQ(ran.status, CtlStatus::refused);
  EXPECT_EQ(ran.out,
            "{\"id\":3,\"return\":{}}\n{\"return\":{\"status\":\"completed\"}}\n"
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such place\"}}\n");
}

TEST_F(CtlSession, a_line_that_is_no_request_ends_the_reading) {
  const Ran ran = ctl({"-"}, "hello\n{\"execute\": \"query-migrate\"}\n");
  EXPECT_EQ(ran.status, CtlStatus::usage);
  EXPECT_NE(ran.err.find("line 1"), std::string::npos);
  EXPECT_TRUE(server_.requests().empty());
}

TEST(CtlSessionAlone, a_server_without_a_schema_is_asked_for_its_commands) {
  test::ScriptedServer server([](const Json& request) -> std::optional<Lines> {
    const std::string command = request.value("execute", "");
    if (command == "query-commands") return Lines{R"({"return": [{"name": "stop"}]})"};
    if (command == "stop") return Lines{R"({"return": {}})"};
    return Lines{R"({"error": {"class": "CommandNotFound", "desc": "no"}})"};
  });
  EXPECT_EQ(run({server.path(), "stop", "a=1"}).status, CtlStatus::done);
  EXPECT_EQ(server.requests().back()["arguments"]["a"], 1);
}

TEST(CtlSessionAlone, no_connection_and_no_qmp_are_status_3) {
  EXPECT_EQ(run({"/nonexistent/qmp", "stop"}).status, CtlStatus::lost);
  test::ScriptedServer other([](const Json&) { return std::nullopt; }, R"({"hello": 1})");
  const Ran ran = run({other.path(), "stop"});
  EXPECT_EQ(ran.status, CtlStatus::lost);
  EXPECT_NE(ran.err.find("not a QMP socket"), std::string::npos);
}

TEST(CtlSessionAlone, a_connection_that_breaks_is_status_3) {
  test::ScriptedServer server([](const Json&) { return std::nullopt; });
  const Ran ran = run({server.path(), "stop", "--json"});
  EXPECT_EQ(ran.status, CtlStatus::lost);
  EXPECT_EQ(Json::parse(ran.out)["error"]["class"], "Connection");
}

TEST(CtlSessionAlone, out_of_band_must_be_offered) {
  test::ScriptedServer server([](const Json&) { return std::nullopt; },
                              R"({"QMP": {"capabilities": []}})");
  const Ran ran = run({server.path(), "migrate-pause", "--oob"});
  EXPECT_EQ(ran.status, CtlStatus::usage);
  EXPECT_NE(ran.err.find("out-of-band"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
