// SPDX-License-Identifier: Apache-2.0
//
// One look at a migration as a line of text, as wide as there is room for, and as JSON; events as
// lines. Writes nothing itself.
#pragma once

#include <string>

#include "tools/tern/ctl_estimate.h"

namespace tern::tool {

/// The line for people. If it is wider than `columns` (0: any width will do) the parts that matter
/// least are left out.
std::string sample_line(const MigrationSample& sample, const Estimate& estimate, size_t columns);

/// {"sample": {…}}: rates in bytes per second, times in seconds or milliseconds as named, what is
/// not known is null.
Json sample_json(const MigrationSample& sample, const Estimate& estimate, double unix_time,
                 const Json& info);

/// "STOP", "MIGRATION status=active", "X {"a":{…}}".
std::string event_line(const Json& event);

/// "completed in 1.5 s, downtime 15 ms, 32.1 MiB sent (226 MiB/s on average)".
std::string end_line(const MigrationSample& last, const Estimate& estimate);

/// Local time of day, "16:03:04.123".
std::string clock_text(double unix_time);

/// The moment an event names, `otherwise` if it names none.
double event_time(const Json& event, double otherwise);

}  // namespace tern::tool
