// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_complete.h"

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

using Words = std::vector<std::string>;

class CtlComplete : public testing::Test {
 protected:
  Words candidates(const Words& words) { return complete(catalog_, words); }
  Schema schema_ = test::small_schema();
  Catalog catalog_{&schema_, schema_.commands()};
};

TEST_F(CtlComplete, first_come_our_own_words_and_the_commands) {
  EXPECT_EQ(candidates({}).size(), ctl_words().size() + schema_.commands().size());
  EXPECT_EQ(candidates({"migrate-set"}),
            (Words{"migrate-set-capabilities", "migrate-set-parameters"}));
  EXPECT_EQ(candidates({"wa"}), Words{"watch"});
}

TEST_F(CtlComplete, then_arguments_that_are_not_there_yet) {
  EXPECT_EQ(candidates({"migrate", ""}), (Words{"uri=", "detach="}));
  EXPECT_EQ(candidates({"migrate", "uri=x", ""}), Words{"detach="});
  EXPECT_EQ(candidates({"migrate-set-capabilities", "e"}), Words{"events="});
}

TEST_F(CtlComplete, then_the_words_a_value_can_be) {
  EXPECT_EQ(candidates({"migrate-set-parameters", "multifd-compression=z"}),
            (Words{"multifd-compression=zlib", "multifd-compression=zstd"}));
  EXPECT_EQ(candidates({"migrate-set-capabilities", "events="}),
            (Words{"events=on", "events=off"}));
  EXPECT_TRUE(candidates({"migrate", "uri=x"}).empty());
}

TEST_F(CtlComplete, a_tag_opens_the_arguments_that_depend_on_it) {
  EXPECT_TRUE(candidates({"blockdev-add", "filen"}).empty());
  EXPECT_EQ(candidates({"blockdev-add", "driver=file", "filen"}), Words{"filename="});
}

TEST_F(CtlComplete, help_is_followed_by_commands_and_events) {
  EXPECT_EQ(candidates({"help", "MIG"}), Words{"MIGRATION"});
  EXPECT_EQ(candidates({"help", "blockdev-add", "driver="}), (Words{"driver=file", "driver=raw"}));
}

TEST_F(CtlComplete, nothing_is_offered_for_what_nobody_knows) {
  EXPECT_TRUE(candidates({"nosuch", ""}).empty());
  const Catalog names{nullptr, {"stop"}};
  EXPECT_TRUE(complete(names, {"stop", ""}).empty());
  EXPECT_EQ(complete(names, {"st"}), Words{"stop"});
}

}  // namespace
}  // namespace tern::tool
