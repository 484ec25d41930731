// SPDX-License-Identifier: Apache-2.0
#include "base/work_ring.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tern {
namespace {

TEST(WorkRing, places_go_round_and_results_come_in_the_order_of_the_work) {
  WorkRing ring(2);
  EXPECT_EQ(ring.oldest_done(true), std::nullopt) << "nothing is out";
  EXPECT_EQ(ring.free_place(), 0u);
  ring.submit();
  EXPECT_EQ(ring.free_place(), 1u);
  ring.submit();
  EXPECT_EQ(ring.free_place(), std::nullopt);
  EXPECT_EQ(ring.take(), 0u);
  EXPECT_EQ(ring.take(), 1u);
  ring.done(1);
  EXPECT_EQ(ring.oldest_done(false), std::nullopt) << "the first is not done";
  ring.done(0);
  EXPECT_EQ(ring.oldest_done(false), 0u);
  ring.retire();
  EXPECT_EQ(ring.free_place(), 0u);
  EXPECT_EQ(ring.oldest_done(true), 1u);
  ring.retire();
  EXPECT_EQ(ring.oldest_done(true), std::nullopt);
  EXPECT_EQ(ring.free_place(), 0u) << "round again";
}

TEST(WorkRing, every_piece_is_done_once_by_one_of_many_workers) {
  constexpr size_t kPlaces = 5;
  constexpr int kPieces = 20000;
  WorkRing ring(kPlaces);
  std::vector<int> in(kPlaces);
  std::vector<int> out(kPlaces);
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      while (const auto place = ring.take()) {
        out[*place] = in[*place] + 1;
        ring.done(*place);
      }
    });
  }
  int next = 0;
  int collected = 0;
  while (collected < kPieces) {
    while (next < kPieces && ring.free_place()) {
      in[*ring.free_place()] = next++;
      ring.submit();
    }
    const auto place = ring.oldest_done(true);
    ASSERT_TRUE(place.has_value());
    ASSERT_EQ(out[*place], ++collected);
    ring.retire();
  }
  ring.stop();
  for (std::thread& worker : workers) worker.join();
}

TEST(WorkRing, stop_ends_every_wait_for_ever) {
  WorkRing ring(1);
  ring.submit();
  std::thread owner([&] { EXPECT_EQ(ring.oldest_done(true), std::nullopt); });
  EXPECT_EQ(ring.take(), 0u);
  std::thread worker([&] { EXPECT_EQ(ring.take(), std::nullopt); });
  ring.stop();
  owner.join();
  worker.join();
  EXPECT_EQ(ring.take(), std::nullopt);
  EXPECT_EQ(ring.oldest_done(true), std::nullopt);
}

}  // namespace
}  // namespace tern
