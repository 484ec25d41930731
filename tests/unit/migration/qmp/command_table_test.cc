// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "migration/qmp/result_types.h"

namespace tern::qmp {
namespace {

TEST(CommandTable, every_row_can_be_found_and_called) {
  for (const CommandRow& row : command_table()) {
    EXPECT_EQ(find_command(row.name), &row);
    EXPECT_NE(row.handler, nullptr) << row.name;
    ASSERT_NE(row.arguments, nullptr) << row.name;
    EXPECT_TRUE(row.arguments->kind == Kind::object || row.arguments->kind == Kind::flat_union)
        << row.name;
  }
}

TEST(CommandTable, commands_that_qemu_removed_do_not_exist) {
  for (const char* name : {"migrate_set_speed", "migrate_set_downtime", "migrate-set-cache-size",
                           "", "MIGRATE", "migrate-pause"}) {
    EXPECT_EQ(find_command(name), nullptr) << name;
  }
}

TEST(CommandTable, optional_members_stand_in_every_argument_type_as_declared) {
  const CommandRow* migrate = find_command("migrate");
  ASSERT_NE(migrate, nullptr);
  for (const QapiMember& member : migrate->arguments->members) EXPECT_TRUE(member.optional);
  for (const QapiMember& member : find_command("pmemsave")->arguments->members) {
    EXPECT_FALSE(member.optional);
  }
}

TEST(CommandTable, exactly_the_yank_commands_run_out_of_band) {
  std::set<std::string> allowed;
  for (const CommandRow& row : command_table()) {
    if (row.allow_oob) allowed.emplace(row.name);
  }
  EXPECT_EQ(allowed, (std::set<std::string>{"query-yank", "yank"}));
}

TEST(CommandTable, the_words_for_a_status_are_those_of_the_enum) {
  const QapiType& state = *find_command("migrate-continue")->arguments->members[0].type;
  ASSERT_EQ(state.words.size(), types::kOfferedStatuses.size());
  for (size_t i = 0; i < state.words.size(); ++i) {
    EXPECT_EQ(state.words[i], to_string(types::kOfferedStatuses[i]));
  }
}

}  // namespace
}  // namespace tern::qmp
