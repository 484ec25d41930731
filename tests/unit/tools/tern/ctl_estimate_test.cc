// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_estimate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tern::tool {
namespace {

constexpr double kMiB = 1 << 20;

// Second by second: a link of `rate`, a guest that dirties `dirty`, both in bytes per second.
MigrationSample at(double time, double rate, double dirty, double remaining, double passes = 2) {
  MigrationSample s;
  s.time = time;
  s.status = "active";
  s.ram = true;
  s.total = 1024 * kMiB;
  s.sent = s.handled = rate * time;
  s.remaining = remaining;
  s.dirty_rate = dirty;
  s.passes = passes;
  s.total_time_ms = time * 1000;
  return s;
}

TEST(CtlEstimate, a_reply_is_read_field_by_field) {
  const Json info = {{"status", "active"},
                     {"expected-downtime", 300},
                     {"total-time", 5000},
                     {"setup-time", 7},
                     {"ram",
                      {{"total", 100},
                       {"transferred", 40},
                       {"remaining", 60},
                       {"normal", 3},
                       {"duplicate", 2},
                       {"dirty-pages-rate", 10},
                       {"dirty-sync-count", 4},
                       {"page-size", 8}}},
                     {"xbzrle-cache", {{"pages", 1}}}};
  const MigrationSample s = read_sample(info, 9);
  EXPECT_EQ(s.status, "active");
  EXPECT_TRUE(s.ram);
  EXPECT_EQ(s.sent, 40);
  EXPECT_EQ(s.remaining, 60);
  EXPECT_EQ(s.handled, 48);
  EXPECT_EQ(s.dirty_rate, 80);
  EXPECT_EQ(s.passes, 4);
  EXPECT_EQ(s.expected_downtime_ms, 300);
  EXPECT_FALSE(read_sample(Json::object(), 0).ram);
  EXPECT_EQ(read_sample(Json::object(), 0).status, "none");
  EXPECT_FALSE(read_sample(Json{{"ram", 5}, {"status", 3}}, 0).ram);
}

TEST(CtlEstimate, tern_says_within_a_pass_what_the_guest_dirtied) {
  const Json ours = Json::parse(R"({"x-tern":{"throttle":{}},"ram":{}})");
  EXPECT_TRUE(read_sample(ours, 0).looks_within_passes);
  EXPECT_FALSE(read_sample(Json::parse(R"({"x-tern":5,"ram":{}})"), 0).looks_within_passes);
  // The same figures mean less to come than from a server that tells at the end of a pass only.
  const auto left = [](bool looks) {
    Estimator estimator;
    Estimate e;
    for (int i = 0; i < 10; ++i) {
      MigrationSample s = at(i, 100 * kMiB, 50 * kMiB, 500 * kMiB);
      s.looks_within_passes = looks;
      e = estimator.add(s);
    }
    return e.seconds;
  };
  EXPECT_LT(left(true), left(false));
}

TEST(CtlEstimate, the_time_left_is_what_remains_by_what_the_link_gains_on_the_guest) {
  Estimator estimator;
  Estimate e;
  double remaining = 600 * kMiB;  // of this pass; meanwhile the guest makes work for the next
  for (int t = 1; t <= 4; ++t, remaining -= 100 * kMiB) {
    e = estimator.add(at(t, 100 * kMiB, 40 * kMiB, remaining));
  }
  EXPECT_EQ(e.outlook, Outlook::about);
  // 300 MiB remain, 120 MiB were dirtied since, the link gains 60 MiB/s.
  EXPECT_NEAR(e.seconds, 7, 1e-6);
  EXPECT_NEAR(*e.rate, 100 * kMiB, 1e-3);
  EXPECT_NEAR(*e.mean_rate, 100 * kMiB, 1e-3);
  EXPECT_EQ(outlook_text(e), "about 7.0 s left");
}

TEST(CtlEstimate, a_guest_that_dirties_as_fast_as_the_link_moves_does_not_converge) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 4; ++t) e = estimator.add(at(t, 100 * kMiB, 100 * kMiB, 500 * kMiB));
  EXPECT_EQ(e.outlook, Outlook::never);
  EXPECT_EQ(outlook_text(e),
            "does not converge at this rate: the guest dirties as fast as the link moves");
}

TEST(CtlEstimate, a_gain_that_is_within_the_error_of_the_rates_is_no_gain) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 4; ++t) e = estimator.add(at(t, 100 * kMiB, 98 * kMiB, 500 * kMiB));
  EXPECT_EQ(e.outlook, Outlook::never);
}

TEST(CtlEstimate, at_the_end_of_a_pass_the_next_one_is_not_forgotten) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 6; ++t) e = estimator.add(at(t, 100, 50, 520 - 100 * (t - 1)));
  const double before = e.seconds;
  e = estimator.add(at(7, 100, 50, 300, 3));  // 50 a second for six seconds
  EXPECT_NEAR(e.seconds, before, 2);
  EXPECT_GT(before, 4);
}

TEST(CtlEstimate, a_mean_is_not_taken_over_a_moment) {
  MigrationSample s = at(5, 100, 0, 500);
  s.total_time_ms = 20;
  EXPECT_FALSE(Estimator().add(s).mean_rate.has_value());
  s.status = "completed";
  EXPECT_NEAR(*Estimator().add(s).mean_rate, 25000, 1e-6);
}

TEST(CtlEstimate, in_the_first_pass_the_estimate_is_a_lower_bound) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 4; ++t) e = estimator.add(at(t, 100 * kMiB, 0, 500 * kMiB, 1));
  EXPECT_EQ(e.outlook, Outlook::at_least);
  EXPECT_EQ(outlook_text(e).rfind("at least ", 0), 0u);
}

TEST(CtlEstimate, nothing_is_said_before_a_few_samples_nor_without_movement) {
  Estimator estimator;
  EXPECT_EQ(estimator.add(at(1, 100, 10, 500)).outlook, Outlook::unknown);
  EXPECT_FALSE(estimator.add(at(1.001, 100, 10, 500)).rate.has_value());
  EXPECT_EQ(estimator.add(at(2, 100, 10, 500)).outlook, Outlook::unknown);
  Estimator still;
  Estimate e;
  for (int t = 1; t <= 5; ++t) e = still.add(at(t, 0, 10, 500));
  EXPECT_EQ(e.outlook, Outlook::unknown);
  EXPECT_EQ(outlook_text(e), "");
  for (int t = 1; t <= 5; ++t) e = Estimator().add(at(t, 100, 10, 0));
  EXPECT_EQ(e.outlook, Outlook::unknown);
}

TEST(CtlEstimate, one_odd_sample_does_not_throw_the_estimate_about) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 6; ++t) e = estimator.add(at(t, 100, 10, 9000));
  const double before = e.seconds;
  MigrationSample odd = at(7, 100, 10, 9000);
  odd.sent = odd.handled = 620;  // a second in which little went out
  e = estimator.add(odd);
  EXPECT_LT(std::abs(e.seconds - before), before * 0.1);
  EXPECT_NEAR(*e.rate, 20, 1e-9);
}

TEST(CtlEstimate, in_postcopy_the_guest_dirties_nothing_here) {
  Estimator estimator;
  Estimate e;
  for (int t = 1; t <= 4; ++t) {
    MigrationSample s = at(t, 100, 500, 1000);
    s.status = "postcopy-active";
    e = estimator.add(s);
  }
  EXPECT_EQ(e.outlook, Outlook::about);
  EXPECT_NEAR(e.seconds, 8.5, 1.6);
}

TEST(CtlEstimate, while_the_guest_stands_still_nothing_is_predicted) {
  Estimator estimator;
  for (int t = 1; t <= 4; ++t) {
    EXPECT_EQ(estimator.add(at(t, 100, 10, 500)).outlook == Outlook::unknown, t < 3);
  }
  MigrationSample stopped = at(5, 100, 10, 500);
  stopped.status = "device";
  const Estimate e = estimator.add(stopped);
  EXPECT_EQ(e.outlook, Outlook::unknown);
  EXPECT_TRUE(e.rate.has_value());
}

TEST(CtlEstimate, a_new_migration_begins_afresh) {
  Estimator estimator;
  for (int t = 1; t <= 4; ++t) {
    const Estimate e = estimator.add(at(t, 100, 10, 500));
    EXPECT_EQ(e.outlook == Outlook::unknown, t < 3);
  }
  MigrationSample next = at(5, 100, 10, 500);
  next.sent = next.handled = 3;
  EXPECT_EQ(estimator.add(next).outlook, Outlook::unknown);
  EXPECT_FALSE(estimator.add(MigrationSample{}).rate.has_value());
}

TEST(CtlEstimate, states_are_ends_or_movement_or_neither) {
  EXPECT_TRUE(migration_ended("failed"));
  EXPECT_FALSE(migration_ended("cancelling"));
  EXPECT_TRUE(migration_moves("postcopy-active"));
  EXPECT_FALSE(migration_moves("pre-switchover"));
}

}  // namespace
}  // namespace tern::tool
