// SPDX-License-Identifier: Apache-2.0
#include "tern/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace tern {
namespace {

TEST(SystemClock, now_is_the_monotonic_clock_of_the_host) {
  timespec before{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  const Nanoseconds now = system_clock().now();
  timespec after{};
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(now, std::chrono::seconds(before.tv_sec) + Nanoseconds(before.tv_nsec));
  EXPECT_LE(now, std::chrono::seconds(after.tv_sec) + Nanoseconds(after.tv_nsec));
}

TEST(SystemClock, wall_counts_from_the_unix_epoch) {
  const std::time_t before = std::time(nullptr);
  const auto wall = std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall());
  // time() may lag behind by a tick of the kernel.
  EXPECT_GE(wall.count() + 1, before);
  EXPECT_LE(wall.count(), std::time(nullptr) + 1);
}

TEST(SystemClock, is_one_object_for_the_life_of_the_process) {
  EXPECT_EQ(&system_clock(), &system_clock());
}

}  // namespace
}  // namespace tern
