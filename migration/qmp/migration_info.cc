// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/migration_info.h"

#include <string>

#include "migration/params/statistics.h"
#include "migration/qmp/address_arg.h"

namespace tern::qmp {
namespace {

using params::StatGroup;

Json json_of(const StatisticValue& value) noexcept {
  if (const auto* n = std::get_if<uint64_t>(&value)) return *n;
  if (const auto* x = std::get_if<double>(&value)) return *x;
  return *std::get_if<std::string>(&value);
}

Json& object_of(Json& info, StatGroup group) noexcept {
  switch (group) {
    case StatGroup::ram:
      return info["ram"];
    case StatGroup::xbzrle:
      return info["xbzrle-cache"];
    case StatGroup::compression:
      return info["compression"];
    case StatGroup::tern:
      return info["x-tern"];
    case StatGroup::downtime:
      return info["x-tern"]["downtime-ns"];
    case StatGroup::switchover:
      return info["x-tern"]["switchover"];
    case StatGroup::throttle:
      return info["x-tern"]["throttle"];
    case StatGroup::info:
      break;
  }
  return info;
}

/// Where the throttle went: a list, no statistic of one value.
Json course_of(const ThrottleStats& throttle) noexcept {
  Json course = Json::array();
  for (const ThrottleStats::Step& step : throttle.course) {
    course.push_back(
        Json{{"time", static_cast<uint64_t>(step.at.count())}, {"percentage", step.percent}});
  }
  return course;
}

void put(const StatsSnapshot& stats, bool incoming, Json& info) noexcept {
  for (const params::StatisticRow& row : params::kStatistics) {
    const bool shown = incoming ? row.incoming : (row.shown & bit(stats.status)) != 0;
    if (!shown) continue;
    const StatisticValue value = row.read(stats);
    if (std::holds_alternative<std::monostate>(value)) continue;
    object_of(info, row.group)[std::string(row.leaf())] = json_of(value);
  }
  object_of(info, StatGroup::throttle)["course"] = course_of(stats.throttle);
}

}  // namespace

Json migration_info(const MigrationSides& sides) noexcept {
  Json info = Json::object();
  if (sides.incoming != nullptr && sides.incoming->status != Status::none) {
    put(*sides.incoming, true, info);
  }
  if (!sides.listening.empty()) info["socket-address"] = socket_addresses(sides.listening);
  if (sides.outgoing != nullptr && sides.outgoing->status != Status::none) {
    put(*sides.outgoing, false, info);
  }
  if (!sides.blocked_reasons.empty()) info["blocked-reasons"] = sides.blocked_reasons;
  return info;
}

}  // namespace tern::qmp
