// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/dispatcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "migration/qmp/json_scanner.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

class DispatcherTest : public ::testing::Test, protected PlaneParts {
 protected:
  Reply reply_to(std::string_view text) {
    Request request = Dispatcher::read(text, session_.oob);
    return dispatcher_.execute(request, session_);
  }
  Json handle(std::string_view text) {
    const Reply reply = reply_to(text);
    EXPECT_TRUE(reply.line.ends_with("\r\n"));
    EXPECT_EQ(reply.line.find('\n'), reply.line.size() - 1);
    return Json::parse(reply.line);
  }
  std::string error(std::string_view text) {
    const Json reply = handle(text);
    if (!reply.contains("error")) return "";
    return reply["error"]["class"].get<std::string>() + ": " +
           reply["error"]["desc"].get<std::string>();
  }

  Session session_;
  Dispatcher dispatcher_{plane(), log};
};

TEST_F(DispatcherTest, before_negotiation_only_the_negotiation_is_known) {
  const std::string expecting =
      "CommandNotFound: Expecting capabilities negotiation with 'qmp_capabilities'";
  EXPECT_EQ(error(R"({"execute":"query-status"})"), expecting);
  EXPECT_EQ(error(R"({"execute":"nosuch"})"), expecting);
  EXPECT_EQ(error(R"({"execute":"qmp_capabilities","arguments":{"x":1}})"),
            "GenericError: Parameter 'x' is unexpected");
  EXPECT_EQ(error(R"({"execute":"qmp_capabilities","arguments":{"enable":1}})"),
            "GenericError: Invalid parameter type for 'enable', expected: array");
  EXPECT_EQ(error(R"({"execute":"qmp_capabilities","arguments":{"enable":["foo"]}})"),
            "GenericError: Parameter 'null' does not accept value 'foo'");
  EXPECT_EQ(error(R"({"exec-oob":"qmp_capabilities"})"),
            "GenericError: QMP input member 'exec-oob' is unexpected");
  EXPECT_FALSE(session_.negotiated);
  EXPECT_EQ(handle(R"({"execute":"qmp_capabilities","arguments":{"enable":[]}})"),
            Json({{"return", kOk}}));
  EXPECT_TRUE(session_.negotiated);
  EXPECT_EQ(error(R"({"execute":"qmp_capabilities"})"),
            "CommandNotFound: Capabilities negotiation is already complete, command ignored");
}

struct Case {
  const char* request;
  const char* error;
};
class Matrix : public DispatcherTest, public ::testing::WithParamInterface<Case> {};

TEST_P(Matrix, of_errors_is_that_of_qmp) {
  session_.negotiated = true;
  EXPECT_EQ(error(GetParam().request), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    Dispatcher, Matrix,
    ::testing::Values(
        Case{"[1]", "GenericError: QMP input must be a JSON object"},
        Case{"12", "GenericError: QMP input must be a JSON object"},
        Case{"\"x\"", "GenericError: QMP input must be a JSON object"},
        Case{"null", "GenericError: QMP input must be a JSON object"},
        Case{R"({"execute":1})", "GenericError: QMP input member 'execute' must be a string"},
        Case{R"({"execute":"query-status","arguments":[]})",
             "GenericError: QMP input member 'arguments' must be an object"},
        Case{R"({"execute":"query-status","arguments":null})",
             "GenericError: QMP input member 'arguments' must be an object"},
        Case{R"({"execute":"query-status","foo":1})",
             "GenericError: QMP input member 'foo' is unexpected"},
        Case{R"({"exec-oob":"query-status"})",
             "GenericError: QMP input member 'exec-oob' is unexpected"},
        Case{"{}", "GenericError: QMP input lacks member 'execute'"},
        Case{R"({"id":1,"arguments":{}})", "GenericError: QMP input lacks member 'execute'"},
        Case{R"({"execute":"nosuch"})", "CommandNotFound: The command nosuch has not been found"},
        Case{R"({"execute":""})", "CommandNotFound: The command  has not been found"},
        Case{R"({"execute":"query-status","arguments":{"x":1}})",
             "GenericError: Parameter 'x' is unexpected"},
        Case{R"({"execute":"query-status","execute":"stop"})",
             "GenericError: JSON parse error, duplicate key"},
        Case{R"({"execute":"query-status"})", ""},
        Case{R"({"execute":"query-status","arguments":{}})", ""}));

TEST_F(DispatcherTest, with_oob_enabled_only_commands_that_allow_it_run_out_of_band) {
  session_.negotiated = true;
  session_.oob = true;
  EXPECT_EQ(error(R"({"exec-oob":"query-status"})"),
            "GenericError: The command query-status does not support OOB");
  EXPECT_EQ(error(R"({"exec-oob":"query-status","execute":"query-status"})"),
            "GenericError: QMP input member 'execute' clashes with 'exec-oob'");
  EXPECT_EQ(error(R"({"exec-oob":7})"),
            "GenericError: QMP input member 'exec-oob' must be a string");
}

TEST_F(DispatcherTest, an_id_of_any_kind_comes_back_with_success_and_with_every_error) {
  session_.negotiated = true;
  for (const char* id : {"null", "1", "-9223372036854775808", "18446744073709551615", "1.5",
                         "\"a\\u0000b\"", "[1,[2]]", "{\"a\":{\"b\":null}}", "true"}) {
    const Json wanted = Json::parse(id);
    for (const char* rest : {R"("execute":"query-status")", R"("execute":"nosuch")",
                             R"("execute":1)", R"("zzz":1)", R"("arguments":{})"}) {
      const Json reply = handle("{\"id\":" + std::string(id) + "," + rest + "}");
      ASSERT_TRUE(reply.contains("id")) << id << " " << rest;
      EXPECT_EQ(reply["id"], wanted);
    }
  }
  EXPECT_FALSE(handle("{]").contains("id"));
}

TEST_F(DispatcherTest, an_id_beyond_64_bits_comes_back_as_floating_point) {
  session_.negotiated = true;
  const Reply reply = reply_to(R"({"execute":"query-name","id":18446744073709551616})");
  EXPECT_NE(reply.line.find("1.8446744073709552e+19"), std::string::npos);
}

TEST_F(DispatcherTest, the_greeting_offers_what_exists) {
  const Json greeting = Json::parse(dispatcher_.greeting_line());
  EXPECT_EQ(greeting["QMP"]["version"], version_json({1, 2, 3}));
  EXPECT_EQ(greeting["QMP"]["capabilities"], Json::array());
  const Dispatcher with_oob(plane(true), log);
  EXPECT_EQ(Json::parse(with_oob.greeting_line())["QMP"]["capabilities"], Json::array({"oob"}));
}

TEST_F(DispatcherTest, quit_is_told_to_whoever_writes_the_reply) {
  session_.negotiated = true;
  EXPECT_TRUE(reply_to(R"({"execute":"quit"})").quit);
  EXPECT_FALSE(reply_to(R"({"execute":"query-status"})").quit);
  EXPECT_EQ(vm.quits, 0);
}

// Any mutation of a request gets exactly one reply that is JSON with a return or an error.
TEST_F(DispatcherTest, mutated_requests_always_get_one_well_formed_reply) {
  const std::vector<std::string> seeds = {
      R"({"execute":"migrate-set-parameters","arguments":{"max-bandwidth":1,)"
      R"("x-peer-version":"tern"}})",
      R"({"execute":"migrate-set-capabilities","arguments":{"capabilities":[)"
      R"({"capability":"events","state":true}]},"id":{"a":[1,2]}})",
      R"({"execute":"query-migrate","id":"\u00e9"})",
      R"({"execute":"migrate-continue","arguments":{"state":"pre-switchover"}})",
      R"({"execute":"pmemsave","arguments":{"val":0,"size":1,"filename":"/dev/null"}})"};
  session_.negotiated = true;
  std::mt19937 random(7);
  int returns = 0;
  int errors = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seeds[random() % seeds.size()];
    for (size_t n = random() % 4; n > 0 && !text.empty(); --n) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text.erase(at, 1 + random() % 5);
          break;
        case 1:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 20));
          break;
        default:
          text.insert(at, 1, "{}[]\",:0e-"[random() % 10]);
          break;
      }
    }
    const Json reply = handle(text);
    returns += reply.contains("return") ? 1 : 0;
    errors += reply.contains("error") ? 1 : 0;
    ASSERT_EQ(returns + errors, round + 1) << text;
  }
  EXPECT_GT(returns, 1000);
  EXPECT_GT(errors, 1000);
}

}  // namespace
}  // namespace tern::qmp
