// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/look_plan.h"

#include <gtest/gtest.h>

#include <string>

namespace tern {
namespace {

using Kind = LookPlan::Step::Kind;
using Ms = std::chrono::milliseconds;

struct Done {
  std::string order;  // "f0" first look at part 0, "a0.1" again for window 1
  std::vector<Nanoseconds> intervals;
};

// Runs the plan with looks that take `look` each; waiting takes as long as the plan says.
Done run(size_t parts, std::vector<Nanoseconds> windows, Nanoseconds look) {
  LookPlan plan(parts, windows);
  Done done;
  std::vector<Nanoseconds> first(parts);
  Nanoseconds now{1000};
  for (int steps = 0; steps < 10000; ++steps) {
    const LookPlan::Step step = plan.next(now);
    if (step.kind == Kind::done) return done;
    if (step.kind == Kind::wait) {
      EXPECT_GT(step.until, now);
      now = step.until;
      continue;
    }
    done.order += (step.kind == Kind::first ? "f" : "a") + std::to_string(step.part);
    if (step.kind == Kind::first) first[step.part] = now;
    if (step.kind == Kind::again) {
      done.order += "." + std::to_string(step.window);
      done.intervals.push_back(now - first[step.part]);
    }
    done.order += ' ';
    plan.did(step, now);
    now += look;
  }
  ADD_FAILURE() << "the plan has no end";
  return done;
}

TEST(LookPlan, a_small_sample_is_looked_at_whole_then_again) {
  const Done done = run(3, {Ms(100), Ms(200)}, Ms(1));
  EXPECT_EQ(done.order, "f0 f1 f2 a0.0 a1.0 a2.0 a0.1 a1.1 a2.1 ");
  EXPECT_EQ(done.intervals,
            (std::vector<Nanoseconds>{Ms(100), Ms(100), Ms(100), Ms(200), Ms(200), Ms(200)}));
}

TEST(LookPlan, a_sample_that_takes_longer_than_the_window_keeps_the_window) {
  const Done done = run(10, {Ms(20)}, Ms(10));  // 100 ms of looking for a window of 20
  EXPECT_EQ(done.order,
            "f0 f1 a0.0 a1.0 f2 f3 a2.0 a3.0 f4 f5 a4.0 a5.0 f6 f7 a6.0 a7.0 f8 f9 a8.0 a9.0 ");
  for (const Nanoseconds interval : done.intervals) {
    EXPECT_GE(interval, Ms(20));
    EXPECT_LE(interval, Ms(30));
  }
}

TEST(LookPlan, overload_makes_first_looks_wait_and_loses_none) {
  const Done done = run(50, {Ms(1), Ms(2), Ms(3)}, Ms(10));
  EXPECT_EQ(done.intervals.size(), 150u);
  for (const Nanoseconds interval : done.intervals) EXPECT_LE(interval, Ms(50));
}

TEST(LookPlan, a_window_is_done_when_all_parts_had_their_look) {
  const std::vector<Nanoseconds> windows{Ms(1), Ms(5)};
  LookPlan plan(2, windows);
  std::string done;
  for (Nanoseconds now{1000};;) {
    const LookPlan::Step step = plan.next(now);
    if (step.kind == Kind::done) break;
    if (step.kind == Kind::wait) {
      now = step.until;
      continue;
    }
    plan.did(step, now);
    done += std::to_string(plan.windows_done());
  }
  EXPECT_EQ(done, "000112");
}

TEST(LookPlan, nothing_to_look_at_is_done) {
  EXPECT_EQ(run(0, {Ms(1)}, Ms(1)).order, "");
  EXPECT_EQ(run(2, {}, Ms(1)).order, "f0 f1 ");
}

}  // namespace
}  // namespace tern
