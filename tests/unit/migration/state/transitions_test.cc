// SPDX-License-Identifier: Apache-2.0
#include "migration/state/transitions.h"

#include <gtest/gtest.h>

#include <set>

#include "migration/state/session.h"

namespace tern {
namespace {

Status status_at(int i) { return static_cast<Status>(i); }
Trigger trigger_at(int i) { return static_cast<Trigger>(i); }

// The shortest way from none to `target` through the table.
std::vector<Trigger> path_to(Side side, Status target) {
  std::vector<std::pair<Status, std::vector<Trigger>>> open{{Status::none, {}}};
  std::set<Status> seen{Status::none};
  for (size_t i = 0; i < open.size(); ++i) {
    const auto [at, path] = open[i];
    if (at == target) return path;
    for (const Transition& row : transitions()) {
      if (row.side != side || row.from != at || !seen.insert(row.to).second) continue;
      auto longer = path;
      longer.push_back(row.on);
      open.emplace_back(row.to, longer);
    }
  }
  return {};
}

TEST(Transitions, every_event_in_every_state_does_what_the_table_says) {
  int legal = 0;
  int illegal = 0;
  for (const Side side : {Side::source, Side::destination}) {
    for (int s = 0; s < kStatusCount; ++s) {
      const auto path = path_to(side, status_at(s));
      if (path.empty() && status_at(s) != Status::none) continue;  // not a state of this side
      for (int t = 0; t < kTriggerCount; ++t) {
        Session session(side, nullptr, PeerVersion::qemu_11_1);
        for (const Trigger step : path) ASSERT_TRUE(session.post(step));
        ASSERT_EQ(session.status(), status_at(s));
        const auto expected = next_status(side, status_at(s), trigger_at(t));
        const auto got = session.post(trigger_at(t));
        if (expected) {
          ++legal;
          ASSERT_TRUE(got.has_value());
          EXPECT_EQ(*got, *expected);
          EXPECT_EQ(session.status(), *expected);
        } else {
          ++illegal;
          ASSERT_FALSE(got.has_value());
          EXPECT_EQ(got.error().code(), ErrorCode::failed_precondition);
          EXPECT_NE(got.error().message().find(to_string(trigger_at(t))), std::string::npos);
          EXPECT_NE(got.error().message().find(to_string(status_at(s))), std::string::npos);
          EXPECT_EQ(session.status(), status_at(s)) << "an illegal event moves nothing";
        }
      }
    }
  }
  EXPECT_EQ(legal, static_cast<int>(transitions().size())) << "every row was taken";
  EXPECT_GT(illegal, legal);
}

TEST(Transitions, names_are_unique_and_not_empty) {
  std::set<std::string_view> names;
  for (int s = 0; s < kStatusCount; ++s) names.insert(to_string(status_at(s)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kStatusCount));
  names.clear();
  for (int t = 0; t < kTriggerCount; ++t) names.insert(to_string(trigger_at(t)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kTriggerCount));
}

TEST(Transitions, cancel_is_refused_in_postcopy_only) {
  for (int s = 0; s < kStatusCount; ++s) {
    const Status status = status_at(s);
    if (!is_running(status)) continue;
    const bool postcopy = status == Status::postcopy_active || status == Status::postcopy_device ||
                          status == Status::postcopy_paused || status == Status::postcopy_recover ||
                          status == Status::postcopy_recover_setup;
    EXPECT_EQ(next_status(Side::source, status, Trigger::cancel).has_value(), !postcopy)
        << to_string(status);
  }
}

}  // namespace
}  // namespace tern
