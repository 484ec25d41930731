// SPDX-License-Identifier: Apache-2.0
#include "tern/catalog.h"

#include <array>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/params/statistics.h"
#include "migration/params/validate.h"

namespace tern {
namespace {

using params::CapabilityRow;
using params::kCapabilities;
using params::kParameters;
using params::kStatistics;
using params::ParameterRow;

constexpr auto kSettings = [] {
  std::array<SettingInfo, kParameters.size() + kCapabilities.size()> all{};
  size_t n = 0;
  for (const ParameterRow& row : kParameters) {
    all[n++] = {row.name, false,           false,     row.type,     row.unit,       row.min,
                row.max,  row.words.words, row.since, row.unstable, row.deprecated, row.live,
                false,    row.side,        row.needs, row.excludes, row.not_below,  row.help};
  }
  for (const CapabilityRow& row : kCapabilities) {
    all[n++] = {row.name,
                true,
                row.member == nullptr,
                SettingType::boolean,
                "",
                0,
                1,
                {},
                row.since,
                row.unstable,
                row.deprecated,
                false,
                row.before_listening,
                row.side,
                row.needs,
                row.excludes,
                "",
                row.help};
  }
  return all;
}();

constexpr auto kStatisticInfos = [] {
  std::array<StatisticInfo, kStatistics.size()> all{};
  for (size_t i = 0; i < all.size(); ++i) all[i] = kStatistics[i].info;
  return all;
}();

Error unknown(std::string_view what, std::string_view name) noexcept {
  constexpr size_t kShown = 64;
  return Error(ErrorCode::invalid_argument,
               "no " + std::string(what) + " '" + std::string(name.substr(0, kShown)) + "'");
}

/// The capability of this name as if it were a parameter, so that text is read in one place.
constexpr ParameterRow as_boolean(const CapabilityRow& row) noexcept {
  return {row.name, row.member, SettingType::boolean, "", 0, 1, 0, 0, false, row.side, "", false,
          false,    row.help};
}

Result<const CapabilityRow*> settable_capability(std::string_view name) noexcept {
  const size_t index = params::capability_index(name);
  if (index == kCapabilities.size()) return unknown("setting", name);
  if (kCapabilities[index].member == nullptr) {
    return Error(ErrorCode::invalid_argument,
                 "'" + std::string(name) + "' belongs to QMP, a migration has no such setting");
  }
  return &kCapabilities[index];
}

}  // namespace

std::string_view to_string(SettingType type) noexcept {
  constexpr std::array<std::string_view, 7> kWords = {"bool", "uint8", "uint32", "uint64",
                                                      "size", "enum",  "str"};
  return kWords[static_cast<size_t>(type)];
}

std::string_view to_string(ActsOn side) noexcept {
  constexpr std::array<std::string_view, 3> kWords = {"source", "destination", "both"};
  return kWords[static_cast<size_t>(side)];
}

std::string_view to_string(StatisticType type) noexcept {
  constexpr std::array<std::string_view, 3> kWords = {"int", "number", "str"};
  return kWords[static_cast<size_t>(type)];
}

std::span<const SettingInfo> settings_catalog() noexcept { return kSettings; }

const SettingInfo* find_setting(std::string_view name) noexcept {
  for (const SettingInfo& info : kSettings) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

Settings qmp_settings() noexcept { return params::qmp_defaults(); }

Result<void> set_by_name(Settings& settings, std::string_view name,
                         std::string_view value) noexcept {
  if (const ParameterRow* row = params::find_parameter(name)) {
    params::set(settings, *row, TERN_TRY(params::value_from_text(*row, value)));
    return {};
  }
  const CapabilityRow* row = TERN_TRY(settable_capability(name));
  const ParameterRow as_parameter = as_boolean(*row);
  params::set(settings, as_parameter, TERN_TRY(params::value_from_text(as_parameter, value)));
  return {};
}

Result<std::string> get_by_name(const Settings& settings, std::string_view name) noexcept {
  if (const ParameterRow* row = params::find_parameter(name)) {
    return params::value_to_text(*row, params::get(settings, *row));
  }
  const ParameterRow row = as_boolean(*TERN_TRY(settable_capability(name)));
  return params::value_to_text(row, params::get(settings, row));
}

Result<void> check_settings(const Settings& settings) noexcept {
  return params::validate(settings);
}

std::span<const StatisticInfo> statistics_catalog() noexcept { return kStatisticInfos; }

Result<StatisticValue> statistic(const StatsSnapshot& stats, std::string_view name) noexcept {
  const params::StatisticRow* row = params::find_statistic(name);
  if (row == nullptr) return unknown("statistic", name);
  return row->read(stats);
}

const params::StatisticRow* params::find_statistic(std::string_view name) noexcept {
  for (const StatisticRow& row : kStatistics) {
    if (row.info.name == name) return &row;
  }
  return nullptr;
}

}  // namespace tern
