// SPDX-License-Identifier: Apache-2.0
#include "stats/ram_counters.h"

#include <gtest/gtest.h>

#include <thread>

namespace tern {
namespace {

TEST(Counter, readers_see_it_grow_only) {
  Counter counter;
  std::atomic<bool> shrank{false};
  std::thread reader([&] {
    uint64_t last = 0;
    while (last < 50000) {
      const uint64_t now = counter.get();
      if (now < last) shrank = true;
      last = now;
    }
  });
  for (int i = 0; i < 50000; ++i) counter.add(1);
  reader.join();
  EXPECT_FALSE(shrank);
  EXPECT_EQ(counter.get(), 50000u);
}

TEST(Counter, set_replaces) {
  Counter counter;
  counter.add(7);
  counter.set(3);
  counter.add(2);
  EXPECT_EQ(counter.get(), 5u);
}

}  // namespace
}  // namespace tern
