// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/objects.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

TEST(CObjects, are_added_listed_and_removed) {
  tern_object_store* store = tern_object_store_new();
  tern_error* error = nullptr;
  ASSERT_EQ(tern_object_store_add(store, "secret,id=s,data=x", &error), TERN_OK);
  EXPECT_EQ(tern_object_store_add(store, "secret,id=t", &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(tern_error_message(error), "Either 'file' or 'data' must be provided");
  tern_error_free(error);
  tern_strings* ids = nullptr;
  ASSERT_EQ(tern_object_store_ids(store, &ids, nullptr), TERN_OK);
  ASSERT_EQ(tern_strings_count(ids), 1u);
  EXPECT_STREQ(tern_strings_at(ids, 0), "s");
  tern_strings_free(ids);
  EXPECT_EQ(tern_object_store_remove(store, "s", nullptr), TERN_OK);
  EXPECT_EQ(tern_object_store_remove(store, "s", nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_object_store_free(store);
}

}  // namespace
}  // namespace tern::capi
