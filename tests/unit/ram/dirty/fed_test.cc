// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/fed.h"

#include <gtest/gtest.h>

#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::harvest_pages;
using test::TestRam;

TEST(FedTracker, reports_what_it_was_told_and_nothing_else) {
  const TestRam ram(Backing::anonymous, 100);
  const std::unique_ptr<DirtyTracker> tracker = make_fed_tracker();
  EXPECT_EQ(tracker->name(), "fed");
  EXPECT_FALSE(tracker->needs_service());
  ASSERT_TRUE(tracker->start(ram.blocks()));
  ram.write(5, 1);
  tracker->mark(0, 7 * test::kPage, 2 * test::kPage);
  EXPECT_EQ(harvest_pages(*tracker, ram.blocks()), (std::vector<uint64_t>{7, 8}));
  EXPECT_EQ(harvest_pages(*tracker, ram.blocks()), std::vector<uint64_t>{});
  EXPECT_TRUE(tracker->stop());
  EXPECT_TRUE(tracker->stop());
}

TEST(FedTracker, refuses_to_harvest_while_stopped_and_to_start_twice) {
  const TestRam ram(Backing::anonymous, 10);
  const std::unique_ptr<DirtyTracker> tracker = make_fed_tracker();
  DirtyBitmap map(ram.blocks());
  EXPECT_EQ(tracker->harvest(map).error().code(), ErrorCode::failed_precondition);
  ASSERT_TRUE(tracker->start(ram.blocks()));
  EXPECT_EQ(tracker->start(ram.blocks()).error().code(), ErrorCode::failed_precondition);
  DirtyBitmap other;
  EXPECT_EQ(tracker->harvest(other).error().code(), ErrorCode::invalid_argument);
}

TEST(FedTracker, the_default_service_has_nothing_to_serve) {
  const std::unique_ptr<DirtyTracker> tracker = make_fed_tracker();
  EXPECT_TRUE(tracker->run_service({}));
}

}  // namespace
}  // namespace tern
