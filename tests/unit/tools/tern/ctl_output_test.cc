// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_output.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

TEST(CtlOutput, a_migration_is_aligned_lines_with_units) {
  const Json info = {{"status", "active"},
                     {"total-time", 12345},
                     {"expected-downtime", 300},
                     {"ram",
                      {{"total", 1 << 30},
                       {"transferred", 5 << 20},
                       {"remaining", 1000},
                       {"mbps", 8.388608},
                       {"dirty-pages-rate", 256},
                       {"page-size", 4096},
                       {"dirty-sync-count", 2},
                       {"normal", 7},
                       {"duplicate", 9},
                       {"postcopy-requests", 0}}},
                     {"x-tern", {{"downtime-ns", {{"total", 1500000}}}, {"tracker", ""}}}};
  EXPECT_EQ(human_reply("query-migrate", info),
            "status                     active\n"
            "total time                 12 s\n"
            "expected downtime          300 ms\n"
            "guest RAM                  1.0 GiB (1073741824)\n"
            "sent                       5.0 MiB (5242880)\n"
            "remaining                  1.0 KiB (1000)\n"
            "rate                       1.0 MiB/s\n"
            "dirty rate                 1.0 MiB/s\n"
            "passes                     2\n"
            "pages with data            7\n"
            "pages of one byte          9\n"
            "ram.page-size              4.0 KiB (4096)\n"
            "ram.postcopy-requests      0\n"
            "x-tern.downtime-ns.total   1.500 ms\n"
            "x-tern.tracker             \"\"\n");
  EXPECT_EQ(human_reply("query-migrate", Json::object()), "no migration yet\n");
}

TEST(CtlOutput, a_migration_of_odd_types_is_shown_all_the_same) {
  EXPECT_EQ(human_reply("query-migrate", Json{{"status", 5}, {"ram", "x"}}),
            "status   5\nram      x\n");
}

TEST(CtlOutput, a_list_of_objects_is_a_table_with_the_name_first) {
  const Json list = {{{"state", true}, {"capability", "events"}},
                     {{"state", false}, {"capability", "x"}, {"note", "ö"}}};
  EXPECT_EQ(human_reply("query-migrate-capabilities", list),
            "capability  state  note\n"
            "events      on     -\n"
            "x           off    ö\n");
  EXPECT_EQ(human_reply("query-commands", {{{"name", "stop"}}, {{"name", "cont"}}}),
            "stop\ncont\n");
}

TEST(CtlOutput, flat_objects_are_lines_and_parameters_have_units) {
  EXPECT_EQ(human_reply("query-migrate-parameters", {{"max-bandwidth", 1 << 30},
                                                     {"downtime-limit", 300},
                                                     {"max-cpu-throttle", 99},
                                                     {"tls-creds", ""}}),
            "downtime-limit     300 ms\n"
            "max-bandwidth      1.0 GiB/s (1073741824)\n"
            "max-cpu-throttle   99 %\n"
            "tls-creds          \"\"\n");
}

TEST(CtlOutput, everything_else_is_indented_json_or_itself) {
  EXPECT_EQ(human_reply("x", {{"a", {{"b", 1}}}}), "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n");
  EXPECT_EQ(human_reply("x", Json::object()), "ok\n");
  EXPECT_EQ(human_reply("x", Json::array()), "none\n");
  EXPECT_EQ(human_reply("x", "text\r\n"), "text\n");
  EXPECT_EQ(human_reply("x", "text"), "text\n");
  EXPECT_EQ(human_reply("x", 5), "5\n");
  EXPECT_EQ(human_reply("x", {1, "b"}), "1\nb\n");
  EXPECT_EQ(human_reply("x", nullptr), "null\n");
}

TEST(CtlOutput, a_server_cannot_drive_the_terminal) {
  EXPECT_EQ(human_reply("x", {{"a", "\033[2J"}}), "a   \\x1b[2J\n");
  EXPECT_EQ(human_reply("x", Json::array({{{"\033c", "v\n"}}})).find('\033'), std::string::npos);
}

TEST(CtlOutput, durations_are_as_fine_as_they_are_short) {
  EXPECT_EQ(human_seconds(1.54), "1.5 s");
  EXPECT_EQ(human_seconds(12.4), "12 s");
  EXPECT_EQ(human_seconds(200), "3 min 20 s");
  EXPECT_EQ(human_seconds(7500), "2 h 5 min");
  EXPECT_EQ(human_seconds(-1), "0.0 s");
  EXPECT_EQ(human_milliseconds(300), "300 ms");
  EXPECT_EQ(human_milliseconds(65000), "65 s");
}

}  // namespace
}  // namespace tern::tool
