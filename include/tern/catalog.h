// SPDX-License-Identifier: Apache-2.0
//
// The named things of tern as data: settings (QEMU's migration parameters and capabilities) and
// statistics. For command lines, bindings and management layers that want to list them, or to set
// and read them by name. The values come from the tables in migration/params, like everything else
// that is made from those.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "tern/result.h"
#include "tern/settings.h"
#include "tern/stats.h"
#include "tern/version.h"

namespace tern {

enum class SettingType { boolean, uint8, uint32, uint64, size, enumeration, string };
/// QEMU's word for it: "bool", "uint8", "size", "enum", "str".
TERN_API std::string_view to_string(SettingType type) noexcept;

/// Which side reads it.
enum class ActsOn { source, destination, both };
TERN_API std::string_view to_string(ActsOn side) noexcept;

/// All texts live as long as the program.
struct SettingInfo {
  std::string_view name;  ///< QMP's: "max-bandwidth"
  bool capability;        ///< a capability, otherwise a parameter
  /// Known to QMP only ("events"): it has no place in Settings.
  bool qmp_only;
  SettingType type;
  std::string_view unit;  ///< "" for none
  uint64_t min;           ///< of integers
  uint64_t max;
  std::span<const std::string_view> words;  ///< of enumerations
  std::string_view since;                   ///< tern version
  bool unstable;
  bool deprecated;
  /// A change acts on a running migration; otherwise it is read when one starts.
  bool live;
  /// A destination reads it when it begins to listen: later it cannot be turned on.
  bool before_listening;
  ActsOn acts_on;
  /// Capabilities that must be on: for a capability or it is refused, for a parameter or it has no
  /// effect.
  std::span<const std::string_view> needs;
  /// Capabilities that must be off: while a capability is on, while a parameter differs from QMP's
  /// default.
  std::span<const std::string_view> excludes;
  /// The parameter that it may not be below, "" for none.
  std::string_view not_below;
  std::string_view help;
};

/// Every setting, parameters first.
TERN_API std::span<const SettingInfo> settings_catalog() noexcept;
/// nullptr for an unknown name.
TERN_API const SettingInfo* find_setting(std::string_view name) noexcept;

/// What QMP starts from: QEMU's defaults. `Settings{}` has those of the C++ API.
TERN_API Settings qmp_settings() noexcept;

/// Sets one setting from text: numbers in decimal or 0x hex, sizes with the suffixes K M G T P E
/// (1024-based), on/off for booleans, words of enumerations, "" for a string that is not set.
/// Checks the value alone; what it must agree with is checked when a migration is created. Errors:
/// invalid_argument (unknown name, not a value of its type, out of range, known to QMP only).
TERN_API Result<void> set_by_name(Settings& settings, std::string_view name,
                                  std::string_view value) noexcept;
/// The value as text that set_by_name takes. Errors: invalid_argument (unknown name, QMP only).
TERN_API Result<std::string> get_by_name(const Settings& settings, std::string_view name) noexcept;
/// Whether the settings go together: what MigrationSource::create checks. Errors: invalid_argument.
TERN_API Result<void> check_settings(const Settings& settings) noexcept;

enum class StatisticType { integer, real, text };
TERN_API std::string_view to_string(StatisticType type) noexcept;

struct StatisticInfo {
  /// Its path in QMP's query-migrate: "ram.transferred", "x-tern.downtime-ns.last-pages".
  std::string_view name;
  StatisticType type;
  std::string_view unit;  ///< "" for none
  std::string_view since;
  std::string_view help;
};

/// Every statistic, in the order of the reference page.
TERN_API std::span<const StatisticInfo> statistics_catalog() noexcept;

/// Empty: not known at this moment (a downtime before there was one).
using StatisticValue = std::variant<std::monostate, uint64_t, double, std::string>;
/// One statistic of a snapshot by name. Errors: invalid_argument (unknown name).
TERN_API Result<StatisticValue> statistic(const StatsSnapshot& stats,
                                          std::string_view name) noexcept;

}  // namespace tern
