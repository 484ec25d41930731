// SPDX-License-Identifier: Apache-2.0
#include "base/error_slot.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tern {
namespace {

TEST(ErrorSlot, is_empty_until_something_went_wrong) { EXPECT_FALSE(ErrorSlot().get()); }

TEST(ErrorSlot, keeps_the_first_error) {
  ErrorSlot slot;
  slot.set(Error(ErrorCode::channel, "connection reset"));
  slot.set(Error(ErrorCode::cancelled, "the migration ended"));
  ASSERT_TRUE(slot.get());
  EXPECT_EQ(slot.get()->message(), "connection reset");
  EXPECT_EQ(slot.get()->code(), ErrorCode::channel);
}

TEST(ErrorSlot, of_threads_that_fail_at_once_one_is_kept) {
  ErrorSlot slot;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      slot.set(Error(ErrorCode::channel, "channel " + std::to_string(t)));
      EXPECT_TRUE(slot.get());
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(slot.get()->message().starts_with("channel "));
}

}  // namespace
}  // namespace tern
