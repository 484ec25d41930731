// SPDX-License-Identifier: Apache-2.0
//
// From a series of query-migrate replies: the rates, and how long the migration will still take,
// as far as that can be known. Asks nobody; time is what the caller says it is.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "tools/common/json_fields.h"

namespace tern::tool {

/// What one query-migrate reply says. Rates in bytes per second.
struct MigrationSample {
  double time = 0;  // seconds on a clock that does not jump
  std::string status = "none";
  bool ram = false;  // whether the reply had the numbers below
  double total = 0;
  double sent = 0;       // bytes on the link
  double remaining = 0;  // bytes of guest RAM
  double handled = 0;    // bytes of guest RAM dealt with so far, with all repetitions
  double dirty_rate = 0;
  double passes = 0;
  bool looks_within_passes = false;  // `remaining` has what was dirtied since the pass began
  std::string throttle;              // how the guest is held back: "throttled 30%"; "" if not
  std::optional<double> expected_downtime_ms;
  std::optional<double> downtime_ms;
  std::optional<double> total_time_ms;
  double setup_time_ms = 0;
  std::string error;
};

MigrationSample read_sample(const Json& info, double time);

/// none, setup, active …: which of them are ends, and in which pages move.
bool migration_ended(const std::string& status) noexcept;
bool migration_moves(const std::string& status) noexcept;

enum class Outlook {
  unknown,
  about,     // `seconds` is the estimate
  at_least,  // `seconds` is what is left if the guest dirtied nothing more
  never,     // the guest dirties as fast as the link moves, or nearly so
};

struct Estimate {
  std::optional<double> rate;       // bytes per second on the link, over the last interval
  std::optional<double> mean_rate;  // since the setup
  Outlook outlook = Outlook::unknown;
  double seconds = 0;
};

/// One migration after the other; a new one is noticed by its status and begins afresh.
class Estimator {
 public:
  Estimate add(const MigrationSample& sample);

 private:
  void set_rates(const MigrationSample& sample, Estimate& out);
  void set_outlook(const MigrationSample& sample, Estimate& out);

  std::deque<MigrationSample> window_;  // the last few samples in which pages moved
  std::deque<double> ends_;             // the last few predictions: moments
  std::optional<double> rate_;
  double pass_ = 0;        // the number of the present pass
  double pass_begun_ = 0;  // when it was first seen
  Outlook last_ = Outlook::unknown;
};

/// "about 12 s left"; "" if nothing is known.
std::string outlook_text(const Estimate& estimate);

}  // namespace tern::tool
