// SPDX-License-Identifier: Apache-2.0
//
// Every migration parameter as one row: QMP set and query, validation, documentation and the tools'
// flags are made from these rows. A parameter whose engine does not exist has no row. Owns names,
// ranges and defaults; knows nothing of JSON, of commands or of how a parameter acts.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "tern/settings.h"

namespace tern::params {

/// The word for it in QEMU's schema; it decides how wide an integer QMP accepts.
enum class ValueType { size, uint64, uint32, enumeration };
std::string_view to_string(ValueType type) noexcept;

/// Where setting it has an effect.
enum class ActsOn { source, destination, both };
std::string_view to_string(ActsOn side) noexcept;

/// The words of an enumeration, in the order of its values.
struct EnumWords {
  std::string_view type_name;
  std::span<const std::string_view> words;
};

/// The place in Settings. Every value fits into 64 bits: an enumeration is its index.
using Member = std::variant<uint64_t Settings::*, uint32_t Settings::*,
                            std::optional<PeerVersion> Settings::*>;

struct ParameterRow {
  std::string_view name;
  Member member;
  ValueType type;
  std::string_view unit;  // "" for none
  uint64_t min;
  uint64_t max;
  uint64_t api_default;
  /// What QMP starts from: management layers written for QEMU expect QEMU's.
  uint64_t qmp_default;
  bool live;  // a change acts on a running migration
  ActsOn side;
  std::string_view since;
  bool unstable;  // x-: name and meaning may change
  bool deprecated;
  std::string_view help;
  EnumWords words{};
};

inline constexpr std::array<std::string_view, 13> kPeerVersionWords = {
    "tern",     "qemu-7.2",  "qemu-8.0",  "qemu-8.1",  "qemu-8.2",  "qemu-9.0", "qemu-9.1",
    "qemu-9.2", "qemu-10.0", "qemu-10.1", "qemu-10.2", "qemu-11.0", "qemu-11.1"};
static_assert(kPeerVersionWords.size() == static_cast<size_t>(PeerVersion::qemu_11_1) + 1);

inline constexpr uint64_t kAnyU64 = std::numeric_limits<uint64_t>::max();
inline constexpr uint64_t kDayMs = 86400000;
inline constexpr uint64_t kMiB = 1ull << 20;

inline constexpr auto kParameters = std::to_array<ParameterRow>({
    {"max-bandwidth", &Settings::max_bandwidth, ValueType::size, "bytes/s", 0, kAnyU64, 0,
     128 * kMiB, true, ActsOn::source, "0.1", false, false,
     "Ceiling for page data, all channels together; 0 means no limit."},
    {"avail-switchover-bandwidth", &Settings::avail_switchover_bandwidth, ValueType::size,
     "bytes/s", 0, kAnyU64, 0, 0, true, ActsOn::source, "0.1", false, false,
     "Bandwidth to count on when deciding whether the rest fits into downtime-limit; 0 means: as "
     "measured."},
    {"downtime-limit", &Settings::downtime_limit, ValueType::uint64, "ms", 0, 2000000, 300, 300,
     true, ActsOn::source, "0.1", false, false,
     "How long the guest may stand still at switchover."},
    {"x-peer-version",
     &Settings::peer_version,
     ValueType::enumeration,
     "",
     0,
     kPeerVersionWords.size() - 1,
     0,
     0,
     false,
     ActsOn::source,
     "0.1",
     true,
     false,
     "Which program and version receives: the source must know where the wire does not say. Preset "
     "from machine "
     "names that carry a QEMU version.",
     {"PeerVersion", kPeerVersionWords}},
    {"x-connect-timeout", &Settings::connect_timeout, ValueType::uint32, "ms", 1, kDayMs, 30000,
     30000, false, ActsOn::source, "0.1", true, false, "How long connecting may take."},
    {"x-handshake-timeout", &Settings::handshake_timeout, ValueType::uint32, "ms", 1, kDayMs, 30000,
     30000, false, ActsOn::both, "0.1", true, false,
     "How long to wait for the peer's first words."},
    {"x-stall-timeout", &Settings::stall_timeout, ValueType::uint32, "ms", 1, kDayMs, 60000, 60000,
     false, ActsOn::both, "0.1", true, false, "How long no byte may move where one is due."},
    {"x-idle-timeout", &Settings::idle_timeout, ValueType::uint32, "ms", 1, kDayMs, 3600000,
     3600000, false, ActsOn::destination, "0.1", true, false,
     "How long a source that is not tern may be silent: it cannot prove that it lives, and may "
     "pause for long."},
    {"x-final-timeout", &Settings::final_timeout, ValueType::uint32, "ms", 1, kDayMs, 120000,
     120000, false, ActsOn::both, "0.1", true, false,
     "How long the source waits for the destination to say that it loaded, and a destination for "
     "the go."},
    {"x-max-device-state", &Settings::max_device_state, ValueType::size, "bytes", kMiB, 1024 * kMiB,
     64 * kMiB, 64 * kMiB, false, ActsOn::destination, "0.1", true, false,
     "Most device state that a destination keeps in memory for a peer."},
});

/// nullptr for an unknown name.
const ParameterRow* find_parameter(std::string_view name) noexcept;

/// The value in `settings`; for an enumeration the index of its word. A peer version that is not
/// set reads as the row's API default.
uint64_t get(const Settings& settings, const ParameterRow& row) noexcept;
/// Stores without checking the range; `value` must fit the type.
void set(Settings& settings, const ParameterRow& row, uint64_t value) noexcept;

/// Settings with every parameter and capability at its QMP default.
Settings qmp_defaults() noexcept;

namespace detail {
constexpr bool rows_are_sound() {
  for (size_t i = 0; i < kParameters.size(); ++i) {
    const ParameterRow& row = kParameters[i];
    if (row.name.empty() || row.help.empty() || row.min > row.max) return false;
    if (row.api_default < row.min || row.api_default > row.max) return false;
    if (row.qmp_default < row.min || row.qmp_default > row.max) return false;
    if ((row.type == ValueType::enumeration) == row.words.words.empty()) return false;
    if (row.unstable != row.name.starts_with("x-")) return false;
    const bool narrow = std::holds_alternative<uint32_t Settings::*>(row.member);
    if (narrow != (row.type == ValueType::uint32)) return false;
    if (narrow && row.max > std::numeric_limits<uint32_t>::max()) return false;
    for (size_t k = 0; k < i; ++k) {
      if (kParameters[k].name == row.name || kParameters[k].member == row.member) return false;
    }
  }
  return true;
}
}  // namespace detail
static_assert(detail::rows_are_sound(),
              "a default outside its range, a name or member used twice, or a type that does not "
              "fit its member");

}  // namespace tern::params
