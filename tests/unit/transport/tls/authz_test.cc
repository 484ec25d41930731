// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/authz.h"

#include <gtest/gtest.h>

#include "tests/doubles/certificates.h"

namespace tern::transport::tls {
namespace {

bool lets_in(const std::shared_ptr<const Authz>& authz, std::string_view identity) {
  const auto answer = authz->allows(identity);
  EXPECT_TRUE(answer) << answer.error().message();
  return answer && *answer;
}

TEST(Glob, knows_stars_and_question_marks) {
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("CN=*,O=a", "CN=b,O=b,O=a"));
  EXPECT_TRUE(glob_matches("a?c*", "abc"));
  EXPECT_FALSE(glob_matches("a?c", "ac"));
  EXPECT_FALSE(glob_matches("a*b", "abc"));
  EXPECT_FALSE(glob_matches("[ab]", "a"));
  EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*b", std::string(5000, 'a'))) << "and soon";
}

TEST(AuthzSimple, lets_one_in) {
  EXPECT_TRUE(lets_in(make_authz_simple("CN=a"), "CN=a"));
  EXPECT_FALSE(lets_in(make_authz_simple("CN=a"), "CN=ab"));
}

TEST(AuthzList, is_decided_by_the_first_rule_that_matches) {
  const auto list = make_authz_list({{{"CN=bad", AuthzPolicy::deny, AuthzFormat::exact},
                                      {"CN=*", AuthzPolicy::allow, AuthzFormat::glob},
                                      {"O=*", AuthzPolicy::allow, AuthzFormat::exact}},
                                     AuthzPolicy::deny});
  ASSERT_TRUE(list);
  EXPECT_FALSE(lets_in(*list, "CN=bad"));
  EXPECT_TRUE(lets_in(*list, "CN=good"));
  EXPECT_FALSE(lets_in(*list, "O=x"));
  EXPECT_TRUE(lets_in(*list, "O=*"));
  EXPECT_TRUE(lets_in(*make_authz_list({{}, AuthzPolicy::allow}), ""));
  AuthzRules many;
  many.rules.resize(kMaxAuthzRules + 1);
  EXPECT_FALSE(make_authz_list(many));
}

TEST(AuthzListFile, is_read_again_when_it_has_changed) {
  const test::Pki pki;
  const std::string path = pki.dir + "/list";
  pki.write("list", R"({"rules": [{"match": "a", "policy": "allow"}]})");
  const auto fixed = make_authz_list_file(path, false);
  const auto fresh = make_authz_list_file(path, true);
  ASSERT_TRUE(fixed && fresh);
  EXPECT_TRUE(lets_in(*fresh, "a"));
  pki.write("list", R"({"rules": [{"match": "b*", "policy": "allow", "format": "glob"}]})");
  EXPECT_TRUE(lets_in(*fixed, "a"));
  EXPECT_FALSE(lets_in(*fresh, "a"));
  EXPECT_TRUE(lets_in(*fresh, "bb"));
  pki.write("list", "{");
  EXPECT_FALSE((*fresh)->allows("bb")) << "what it says now is unknown";
  std::filesystem::remove(path);
  EXPECT_FALSE((*fresh)->allows("bb"));
}

TEST(AuthzListFile, says_what_is_wrong_with_it) {
  const test::Pki pki;
  const auto error = [&](const std::string& text) {
    pki.write("list", text);
    const auto made = make_authz_list_file(pki.dir + "/list", true);
    return made ? std::string() : made.error().message().substr(pki.dir.size() + 7);
  };
  EXPECT_EQ(error("{"), "not JSON");
  EXPECT_EQ(error("[]"), "not a JSON object");
  EXPECT_EQ(error(R"({"rules": {}})"), "'rules' is no array");
  EXPECT_EQ(error(R"({"x": 1})"), "'x' is unexpected");
  EXPECT_EQ(error(R"({"policy": "x"})"), "'policy' must be 'deny' or 'allow'");
  EXPECT_EQ(error(R"({"rules": [1]})"), "rules[0]: is no object");
  EXPECT_EQ(error(R"({"rules": [{"match": 1}]})"), "rules[0]: 'match' must be a string");
  EXPECT_EQ(error(R"({"rules": [{"match": "a"}]})"),
            "rules[0]: 'policy' must be 'deny' or 'allow'");
  EXPECT_EQ(error(R"({"rules": [{"match": "a", "policy": "deny", "format": 1}]})"),
            "rules[0]: 'format' must be 'exact' or 'glob'");
  EXPECT_FALSE(make_authz_list_file(pki.dir + "/none", true));
}

}  // namespace
}  // namespace tern::transport::tls
