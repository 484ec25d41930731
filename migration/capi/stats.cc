// SPDX-License-Identifier: Apache-2.0
//
// Statistics by name, and their catalog. Everything here comes from the tables behind
// tern/catalog.h.
#include "migration/capi/stats.h"

#include <string>
#include <string_view>
#include <variant>

#include "migration/capi/error.h"
#include "migration/capi/sized.h"
#include "migration/capi/text.h"
#include "migration/qmp/json_text.h"
#include "tern/catalog.h"

namespace tern::capi {
namespace {

static_assert(static_cast<int>(StatisticType::text) == TERN_STATISTIC_TEXT);
static_assert(static_cast<int>(StatisticType::integer) == TERN_STATISTIC_INTEGER);

Result<StatisticValue> known_value(const tern_stats* stats, const char* name,
                                   const void* value) noexcept {
  TERN_TRY(need({{"stats", stats}, {"name", name}, {"value", value}}));
  auto found = TERN_TRY(statistic(stats->value, name));
  if (std::holds_alternative<std::monostate>(found)) {
    return Error(ErrorCode::failed_precondition,
                 "'" + std::string(name) + "' was not known at that moment");
  }
  return found;
}

Error other_type(const char* name) noexcept {
  return Error(ErrorCode::invalid_argument, "'" + std::string(name) + "' has another type");
}

void put(qmp::Json& object, std::string_view path, qmp::Json value) noexcept {
  const size_t dot = path.find('.');
  if (dot == std::string_view::npos) {
    object[std::string(path)] = std::move(value);
  } else {
    put(object[std::string(path.substr(0, dot))], path.substr(dot + 1), std::move(value));
  }
}

qmp::Json json_of(const StatsSnapshot& stats) noexcept {
  qmp::Json all = qmp::Json::object();
  for (const StatisticInfo& info : statistics_catalog()) {
    const auto value = statistic(stats, info.name);
    if (!value) continue;
    if (const auto* number = std::get_if<uint64_t>(&*value)) put(all, info.name, *number);
    if (const auto* real = std::get_if<double>(&*value)) put(all, info.name, *real);
    if (const auto* text = std::get_if<std::string>(&*value)) put(all, info.name, *text);
  }
  return all;
}

}  // namespace
}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

void tern_stats_free(tern_stats* stats) noexcept { delete stats; }

int tern_stats_status(const tern_stats* stats) noexcept {
  return stats != nullptr ? static_cast<int>(stats->value.status) : TERN_STATUS_NONE;
}
int tern_stats_ending(const tern_stats* stats) noexcept {
  return stats != nullptr ? static_cast<int>(stats->value.ending) : TERN_ENDING_NONE;
}
const char* tern_stats_error(const tern_stats* stats) noexcept {
  return stats != nullptr ? stats->value.error_desc.c_str() : "";
}
int64_t tern_stats_taken_at(const tern_stats* stats) noexcept {
  return stats != nullptr ? stats->value.taken_at.count() : 0;
}

int tern_stats_get_u64(const tern_stats* stats, const char* name, uint64_t* value,
                       tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    const StatisticValue found = TERN_TRY(known_value(stats, name, value));
    const auto* number = std::get_if<uint64_t>(&found);
    if (number == nullptr) return other_type(name);
    *value = *number;
    return {};
  });
}

int tern_stats_get_double(const tern_stats* stats, const char* name, double* value,
                          tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    const StatisticValue found = TERN_TRY(known_value(stats, name, value));
    if (const auto* number = std::get_if<uint64_t>(&found)) {
      *value = static_cast<double>(*number);
      return {};
    }
    const auto* real = std::get_if<double>(&found);
    if (real == nullptr) return other_type(name);
    *value = *real;
    return {};
  });
}

int tern_stats_get_text(const tern_stats* stats, const char* name, char** value,
                        tern_error** error) noexcept {
  if (value != nullptr) *value = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    const StatisticValue found = TERN_TRY(known_value(stats, name, value));
    const auto* text = std::get_if<std::string>(&found);
    if (text == nullptr) return other_type(name);
    return give_text(value, *text);
  });
}

int tern_stats_json(const tern_stats* stats, char** json, tern_error** error) noexcept {
  if (json != nullptr) *json = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"stats", stats}, {"json", json}}));
    return give_text(json, qmp::to_text(json_of(stats->value)));
  });
}

size_t tern_stats_channel_count(const tern_stats* stats) noexcept {
  return stats != nullptr ? stats->value.channels.size() : 0;
}

int tern_stats_channel_at(const tern_stats* stats, size_t index, tern_channel_stats* channel,
                          tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"stats", stats}, {"channel", channel}}));
    if (index >= stats->value.channels.size()) {
      return Error(ErrorCode::invalid_argument, "no channel has index " + std::to_string(index));
    }
    const ChannelStats& known = stats->value.channels[index];
    return write_sized(tern_channel_stats{.size = sizeof(tern_channel_stats),
                                          .peer = known.peer.c_str(),
                                          .id = known.id,
                                          .bytes = known.bytes,
                                          .packets = known.packets,
                                          .syncs = known.syncs,
                                          .normal = known.normal,
                                          .zero = known.zero,
                                          .compressed_pages = known.compressed_pages},
                       channel, "channel");
  });
}

size_t tern_stats_throttle_step_count(const tern_stats* stats) noexcept {
  return stats != nullptr ? stats->value.throttle.course.size() : 0;
}

int tern_stats_throttle_step_at(const tern_stats* stats, size_t index, tern_throttle_step* step,
                                tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"stats", stats}, {"step", step}}));
    const auto& course = stats->value.throttle.course;
    if (index >= course.size()) {
      return Error(ErrorCode::invalid_argument, "no step has index " + std::to_string(index));
    }
    return write_sized(tern_throttle_step{.size = sizeof(tern_throttle_step),
                                          .at_ms = static_cast<uint64_t>(course[index].at.count()),
                                          .percent = course[index].percent},
                       step, "step");
  });
}

size_t tern_statistic_count() noexcept { return statistics_catalog().size(); }

int tern_statistic_at(size_t index, tern_statistic_info* info, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    const auto all = statistics_catalog();
    if (index >= all.size()) {
      return Error(ErrorCode::invalid_argument, "no statistic has index " + std::to_string(index));
    }
    const StatisticInfo& known = all[index];
    // The texts of the catalog are literals, and so end with NUL.
    return write_sized(tern_statistic_info{.size = sizeof(tern_statistic_info),
                                           .name = known.name.data(),
                                           .unit = known.unit.data(),
                                           .since = known.since.data(),
                                           .help = known.help.data(),
                                           .type = static_cast<int32_t>(known.type),
                                           .reserved = 0},
                       info, "info");
  });
}

int tern_statistic_find(const char* name, size_t* index, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"name", name}, {"index", index}}));
    const auto all = statistics_catalog();
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].name != name) continue;
      *index = i;
      return {};
    }
    return Error(ErrorCode::invalid_argument,
                 "no statistic '" + std::string(name).substr(0, 64) + "'");
  });
}

const char* tern_statistic_type_name(int type) noexcept {
  return word_of<StatisticType>(type, TERN_STATISTIC_TEXT + 1);
}
