// SPDX-License-Identifier: Apache-2.0
//
// What was measured, as text for people, JSON and CSV. Measures nothing, opens nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/common/json_fields.h"
#include "tools/tern/dirty_rate_measure.h"
#include "tools/tern/dirty_rate_qmp.h"

namespace tern::tool {

/// What the figures are of.
struct RateTarget {
  pid_t pid = 0;
  std::string name;    ///< of the process, or the server
  std::string socket;  ///< of the server
  ModeChoice mode;     ///< of a process
};

/// "process 4242 (redis-server), page-sampling: asked for".
std::string target_line(const RateTarget& target);

/// Several lines, each with its end; at most `regions` hot regions.
std::string measurement_text(const Measurement& measurement, uint64_t regions);
std::string measurement_text(const QmpRate& rate);
/// One line for repeated measuring, without its end.
std::string measurement_line(const Measurement& measurement);
std::string measurement_line(const QmpRate& rate);
/// After repeated measuring; empty for one.
std::string summary_line(const std::vector<double>& mib_per_s);

/// What was looked at, how long and at what cost, for under a chart's title.
std::string chart_subtitle(const Measurement& measurement);

/// docs/dirty-rate.md lists the members.
Json measurement_json(const RateTarget& target, const Measurement& measurement, uint64_t regions);
Json measurement_json(const RateTarget& target, const QmpRate& rate);

/// One row for each window, under one header.
std::string csv_header();
std::string measurement_csv(const RateTarget& target, const Measurement& measurement);
std::string measurement_csv(const RateTarget& target, const QmpRate& rate);

/// Hottest first: by dirty pages, regions without any left out.
std::vector<HotRegion> hottest(const std::vector<HotRegion>& regions, uint64_t count);

/// MiB of so many pages.
double mib(double pages) noexcept;
/// "0.1 s", "250 ms" for what a user asked for.
std::string window_text(Nanoseconds window);

}  // namespace tern::tool
