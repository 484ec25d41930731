// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/command_table.h"

#include <gtest/gtest.h>

#include <string>

namespace tern::qmp {
namespace {

TEST(CommandTable, every_row_can_be_found_and_called) {
  for (const CommandRow& row : command_table()) {
    EXPECT_EQ(find_command(row.name), &row);
    EXPECT_NE(row.handler, nullptr) << row.name;
    ASSERT_NE(row.arguments, nullptr) << row.name;
    EXPECT_EQ(row.arguments->kind, Kind::object) << row.name;
  }
}

TEST(CommandTable, commands_that_qemu_removed_do_not_exist) {
  for (const char* name : {"query-events", "migrate_set_speed", "migrate_set_downtime",
                           "migrate-set-cache-size", "", "MIGRATE", "migrate-pause"}) {
    EXPECT_EQ(find_command(name), nullptr) << name;
  }
}

TEST(CommandTable, optional_members_stand_in_every_argument_type_as_declared) {
  const CommandRow* migrate = find_command("migrate");
  ASSERT_NE(migrate, nullptr);
  for (const ArgMember& member : migrate->arguments->members) EXPECT_TRUE(member.optional);
  for (const ArgMember& member : find_command("pmemsave")->arguments->members) {
    EXPECT_FALSE(member.optional);
  }
}

TEST(CommandTable, out_of_band_execution_is_offered_only_if_a_command_can_use_it) {
  bool any = false;
  for (const CommandRow& row : command_table()) any = any || row.allow_oob;
  EXPECT_EQ(offers_oob(), any);
}

TEST(CommandTable, the_words_for_a_status_are_those_of_the_enum) {
  const ArgType& state = *find_command("migrate-continue")->arguments->members[0].type;
  ASSERT_EQ(state.words.size(), static_cast<size_t>(kStatusCount));
  for (int i = 0; i < kStatusCount; ++i) {
    EXPECT_EQ(state.words[static_cast<size_t>(i)], to_string(static_cast<Status>(i)));
  }
}

}  // namespace
}  // namespace tern::qmp
