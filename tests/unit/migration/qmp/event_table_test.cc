// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/event_table.h"

#include <gtest/gtest.h>

#include "migration/params/capabilities.h"

namespace tern::qmp {
namespace {

TEST(EventTable, every_row_is_found_and_says_when) {
  for (const EventRow& row : event_table()) {
    EXPECT_EQ(find_event(row.name), &row);
    EXPECT_FALSE(row.when.empty()) << row.name;
    ASSERT_NE(row.data, nullptr) << row.name;
    if (!row.capability.empty()) {
      EXPECT_LT(params::capability_index(row.capability), params::kCapabilities.size());
    }
  }
  EXPECT_EQ(find_event("COLO_EXIT"), nullptr) << "no engine, no event";
}

}  // namespace
}  // namespace tern::qmp
