// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_progress.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

MigrationSample sample() {
  MigrationSample s;
  s.status = "active";
  s.ram = true;
  s.total = 4 << 20;
  s.sent = 3 << 20;
  s.remaining = 1 << 20;
  s.dirty_rate = 1 << 20;
  s.passes = 2;
  s.expected_downtime_ms = 300;
  return s;
}

Estimate estimate() {
  Estimate e;
  e.rate = 2 << 20;
  e.mean_rate = 1 << 20;
  e.outlook = Outlook::about;
  e.seconds = 12;
  return e;
}

TEST(CtlProgress, the_line_says_all_if_there_is_room) {
  EXPECT_EQ(sample_line(sample(), estimate(), 0),
            "active  75%  3.0 MiB sent  1.0 MiB left  2.0 MiB/s  mean 1.0 MiB/s  pass 2  "
            "dirty 1.0 MiB/s  expected downtime 300 ms  about 12 s left");
}

TEST(CtlProgress, in_a_narrow_window_what_matters_stays) {
  EXPECT_EQ(sample_line(sample(), estimate(), 79),
            "active  75%  1.0 MiB left  2.0 MiB/s  dirty 1.0 MiB/s  about 12 s left");
  EXPECT_EQ(sample_line(sample(), estimate(), 24), "active  about 12 s left");
  EXPECT_EQ(sample_line(sample(), estimate(), 4), "acti");
}

TEST(CtlProgress, what_is_not_known_is_not_said) {
  MigrationSample first = sample();
  first.passes = 1;
  first.expected_downtime_ms.reset();
  EXPECT_EQ(sample_line(first, {}, 0), "active  75%  3.0 MiB sent  1.0 MiB left");
  MigrationSample bare;
  bare.status = "setup";
  EXPECT_EQ(sample_line(bare, {}, 0), "setup");
}

TEST(CtlProgress, json_has_null_for_what_is_not_known) {
  const Json full = sample_json(sample(), estimate(), 5, {{"status", "active"}})["sample"];
  EXPECT_EQ(full["percent"], 75);
  EXPECT_EQ(full["rate"], 2 << 20);
  EXPECT_EQ(full["dirty-rate"], 1 << 20);
  EXPECT_EQ(full["estimate"], (Json{{"kind", "about"}, {"seconds", 12}}));
  EXPECT_EQ(full["migration"]["status"], "active");
  EXPECT_EQ(full["time"], 5);
  MigrationSample first = sample();
  first.passes = 1;
  const Json little = sample_json(first, {}, 5, {})["sample"];
  EXPECT_TRUE(little["rate"].is_null());
  EXPECT_TRUE(little["dirty-rate"].is_null());
  EXPECT_TRUE(little["estimate"].is_null());
  Estimate never;
  never.outlook = Outlook::never;
  EXPECT_EQ(sample_json(sample(), never, 5, {})["sample"]["estimate"],
            (Json{{"kind", "does-not-converge"}}));
}

TEST(CtlProgress, events_are_one_line) {
  EXPECT_EQ(event_line({{"event", "STOP"}}), "STOP");
  EXPECT_EQ(event_line({{"event", "MIGRATION"}, {"data", {{"status", "active"}}}}),
            "MIGRATION status=active");
  EXPECT_EQ(event_line({{"event", "X"}, {"data", {{"a", {{"b", 1}}}}}}), R"(X {"a":{"b":1}})");
  EXPECT_EQ(event_line({{"event", 5}, {"data", {{"k", "\033c"}}}}), "? k=\\x1bc");
}

TEST(CtlProgress, the_end_is_told_with_its_reason) {
  MigrationSample s = sample();
  s.status = "failed";
  s.error = "no route";
  EXPECT_EQ(end_line(s, {}), "failed: no route, 3.0 MiB sent");
  s.status = "completed";
  s.error.clear();
  s.total_time_ms = 1500;
  s.downtime_ms = 15;
  EXPECT_EQ(end_line(s, estimate()),
            "completed in 1500 ms, downtime 15 ms, 3.0 MiB sent (1.0 MiB/s on average)");
}

TEST(CtlProgress, the_time_is_the_events_own_if_it_has_one) {
  const Json stamped = {{"timestamp", {{"seconds", 100}, {"microseconds", 250000}}}};
  EXPECT_EQ(event_time(stamped, 5), 100.25);
  EXPECT_EQ(event_time({{"timestamp", {{"seconds", -1}, {"microseconds", -1}}}}, 5), 5);
  EXPECT_EQ(event_time(Json::object(), 5), 5);
  const std::string text = clock_text(100.25);
  EXPECT_EQ(text.size(), 12u);
  EXPECT_EQ(text.substr(8), ".250");
}

}  // namespace
}  // namespace tern::tool
