// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_options.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

TEST(CtlOptions, socket_command_and_arguments_stand_in_this_order) {
  const CtlParsed parsed = parse_ctl({"--json", "/run/q", "migrate", "uri=x", "--wait", "a:=[1]"});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.options.socket, "/run/q");
  EXPECT_EQ(parsed.options.command, "migrate");
  EXPECT_EQ(parsed.options.words, (std::vector<std::string>{"uri=x", "a:=[1]"}));
  EXPECT_TRUE(parsed.options.json);
  EXPECT_TRUE(parsed.options.wait);
  EXPECT_FALSE(parsed.options.timeout.has_value());
}

TEST(CtlOptions, a_socket_is_a_path_in_any_of_qemus_forms) {
  EXPECT_EQ(parse_ctl({"unix:/run/q", "x"}).options.socket, "/run/q");
  EXPECT_EQ(parse_ctl({"unix:/run/q,server=on,wait=off", "x"}).options.socket, "/run/q");
  EXPECT_EQ(parse_ctl({"a,b", "x"}).options.socket, "a,b");
}

TEST(CtlOptions, names_of_other_subcommands_are_words_like_any_other) {
  const CtlParsed parsed = parse_ctl({"demo", "inspect", "ctl=1"});
  ASSERT_TRUE(parsed.run);
  EXPECT_EQ(parsed.options.socket, "demo");
  EXPECT_EQ(parsed.options.command, "inspect");
}

TEST(CtlOptions, times_are_in_seconds) {
  const CtlOptions o =
      parse_ctl({"q", "watch", "--timeout", "1.5", "--interval", "0.2", "--connect-timeout", "3"})
          .options;
  EXPECT_EQ(o.timeout, CtlOptions::Ms(1500));
  EXPECT_EQ(o.interval, CtlOptions::Ms(200));
  EXPECT_EQ(o.connect_timeout, CtlOptions::Ms(3000));
}

TEST(CtlOptions, candidates_are_asked_for_behind_two_dashes) {
  const CtlParsed parsed = parse_ctl({"q", "complete", "--", "migrate", ""});
  ASSERT_TRUE(parsed.run);
  EXPECT_EQ(parsed.options.words, (std::vector<std::string>{"migrate", ""}));
}

TEST(CtlOptions, help_is_no_error) {
  const CtlParsed parsed = parse_ctl({"--help"});
  EXPECT_FALSE(parsed.run);
  EXPECT_EQ(parsed.status, CtlStatus::done);
  EXPECT_NE(parsed.text.find("--enable-events"), std::string::npos);
  EXPECT_NE(parsed.text.find("Exit status"), std::string::npos);
}

TEST(CtlOptions, a_wrong_command_line_says_what_is_wrong) {
  const auto refused = [](std::vector<std::string> words, const char* why) {
    const CtlParsed parsed = parse_ctl(std::move(words));
    EXPECT_FALSE(parsed.run);
    EXPECT_EQ(parsed.status, CtlStatus::usage);
    EXPECT_NE(parsed.text.find(why), std::string::npos) << parsed.text;
  };
  refused({}, "SOCKET");
  refused({"q"}, "COMMAND");
  refused({"q", "x", "--nosuch"}, "--nosuch");
  refused({"q", "x", "--timeout", "0"}, "--timeout");
  refused({"q", "x", "--fd", "-1"}, "--fd");
  refused({"q", "x", "--fd", "1", "--file", "f"}, "--file");
  refused({"q", "migrate", "--until-end"}, "--wait");
  refused({"q", "watch", "x=1"}, "x=1");
  refused({"q", "-", "x=1"}, "x=1");
}

}  // namespace
}  // namespace tern::tool
