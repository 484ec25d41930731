// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/crew.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

TEST(crew, nobody_works_before_the_start_and_after_the_stop) {
  std::atomic<uint64_t> steps = 0;
  Crew* crew = nullptr;
  const auto owner = must(Crew::create(2, {[&](uint32_t) {
                                             while (!crew->stopping()) {
                                               ++steps;
                                               std::this_thread::yield();
                                             }
                                           },
                                           [](uint32_t, std::thread&) {}}));
  crew = owner.get();
  EXPECT_EQ(steps, 0U);
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = steps;
    crew->start();
    crew->start();
    while (steps == before) std::this_thread::yield();
    crew->stop();
    EXPECT_TRUE(crew->parked());
    const uint64_t after = steps;
    std::this_thread::yield();
    EXPECT_EQ(steps, after);
    crew->stop();
  }
}

TEST(crew, it_knows_its_threads) {
  std::atomic<int> ids[2]{};
  std::atomic<int> seen = 0;
  const auto crew = must(Crew::create(2, {[&](uint32_t vcpu) {
                                            ids[vcpu] = ::gettid();
                                            ++seen;
                                          },
                                          [](uint32_t, std::thread&) {}}));
  const std::vector<int> known = crew->thread_ids();
  crew->start();
  while (seen != 2) std::this_thread::yield();
  EXPECT_EQ(known, (std::vector<int>{ids[0], ids[1]}));
}

TEST(crew, a_start_and_a_stop_at_once_leave_all_parked) {
  std::atomic<int> inside = 0;
  Crew* crew = nullptr;
  const auto owner = must(Crew::create(3, {[&](uint32_t) {
                                             ++inside;
                                             while (!crew->stopping()) std::this_thread::yield();
                                             --inside;
                                           },
                                           [](uint32_t, std::thread&) {}}));
  crew = owner.get();
  for (int i = 0; i < 1000; ++i) {
    crew->start();
    crew->stop();
    ASSERT_EQ(inside, 0);
  }
}

TEST(crew, a_worker_with_nothing_to_do_runs_once_in_each_start) {
  std::atomic<int> runs = 0;
  const auto crew =
      must(Crew::create(1, {[&](uint32_t) { ++runs; }, [](uint32_t, std::thread&) {}}));
  for (int i = 1; i <= 3; ++i) {
    crew->start();
    while (runs < i) std::this_thread::yield();
    crew->stop();
    EXPECT_EQ(runs, i);
  }
}

TEST(crew, each_is_kicked_after_stopping_is_true) {
  std::atomic<int> kicked = 0;
  Crew* crew = nullptr;
  const auto owner = must(Crew::create(2, {[](uint32_t) {},
                                           [&](uint32_t, std::thread& thread) {
                                             EXPECT_TRUE(thread.joinable());
                                             EXPECT_TRUE(crew->stopping());
                                             ++kicked;
                                           }}));
  crew = owner.get();
  crew->start();
  crew->stop();
  EXPECT_EQ(kicked, 2);
}

}  // namespace
}  // namespace tern::vmm
