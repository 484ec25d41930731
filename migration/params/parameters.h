// SPDX-License-Identifier: Apache-2.0
//
// Every migration parameter as one row: QMP set and query, validation and its messages,
// query-qmp-schema, the tools' flags, the C accessors and the reference page are made from these
// rows. A parameter whose engine does not exist has no row. Owns names, ranges and defaults; knows
// nothing of JSON, of commands or of how a parameter acts.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "tern/catalog.h"
#include "tern/ram_block.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern::params {

using Names = std::span<const std::string_view>;

/// The words of an enumeration, in the order of its values.
struct EnumWords {
  std::string_view type_name;
  Names words;
};

/// The place in Settings.
using Member = std::variant<uint64_t Settings::*, uint32_t Settings::*, bool Settings::*,
                            std::string Settings::*, std::optional<PeerVersion> Settings::*,
                            MultifdCompression Settings::*, ZeroPageDetection Settings::*,
                            SwitchoverPolicy Settings::*>;
/// A value on its way between Settings, text and JSON: a number, a boolean as 0 or 1, the index of
/// an enumeration's word, or a string.
using Value = std::variant<uint64_t, std::string>;

struct ParameterRow {
  std::string_view name;
  Member member;
  SettingType type;
  std::string_view unit;  // "" for none
  uint64_t min;           // of integers; the range of a string is its length
  uint64_t max;
  uint64_t api_default;  // strings start empty
  /// What QMP starts from: management layers written for QEMU expect QEMU's.
  uint64_t qmp_default;
  bool live;  // a change acts on a running migration
  ActsOn side;
  std::string_view since;
  bool unstable;  // x-: name and meaning may change
  bool deprecated;
  std::string_view help;
  EnumWords words{};
  Names needs{};     // capabilities without which it has no effect (it can be set all the same)
  Names excludes{};  // capabilities that must be off while it differs from its QMP default
  std::string_view not_below{};  // the parameter that it may not be below
  bool power_of_two = false;
};

inline constexpr std::array<std::string_view, 13> kPeerVersionWords = {
    "tern",     "qemu-7.2",  "qemu-8.0",  "qemu-8.1",  "qemu-8.2",  "qemu-9.0", "qemu-9.1",
    "qemu-9.2", "qemu-10.0", "qemu-10.1", "qemu-10.2", "qemu-11.0", "qemu-11.1"};
static_assert(kPeerVersionWords.size() == static_cast<size_t>(PeerVersion::qemu_11_1) + 1);

inline constexpr std::array<std::string_view, 3> kMultifdCompressionWords = {"none", "zlib",
                                                                             "zstd"};
static_assert(kMultifdCompressionWords.size() == static_cast<size_t>(MultifdCompression::zstd) + 1);
inline constexpr std::array<std::string_view, 3> kZeroPageDetectionWords = {"none", "legacy",
                                                                            "multifd"};
static_assert(kZeroPageDetectionWords.size() ==
              static_cast<size_t>(ZeroPageDetection::multifd) + 1);
inline constexpr std::array<std::string_view, 3> kSwitchoverPolicyWords = {"tern", "qemu-7.2",
                                                                           "qemu-10.2"};
static_assert(kSwitchoverPolicyWords.size() ==
              static_cast<size_t>(SwitchoverPolicy::qemu_10_2) + 1);
inline constexpr std::array<std::string_view, 1> kNeedsCompress = {"compress"};
inline constexpr std::array<std::string_view, 1> kNeedsAutoConverge = {"auto-converge"};
inline constexpr std::array<std::string_view, 1> kNeedsDirtyLimit = {"dirty-limit"};
inline constexpr std::array<std::string_view, 1> kNeedsMultifd = {"multifd"};
inline constexpr std::array<std::string_view, 1> kNeedsXbzrle = {"xbzrle"};
inline constexpr std::array<std::string_view, 1> kExcludesZeroCopy = {"zero-copy-send"};

inline constexpr uint64_t kAnyU64 = std::numeric_limits<uint64_t>::max();
inline constexpr uint64_t kDayMs = 86400000;
inline constexpr uint64_t kMiB = 1ull << 20;
inline constexpr uint64_t kMaxIdBytes = 255;

/// In the order in which QEMU checks them: of several faults the first is told.
inline constexpr auto kParameters = std::to_array<ParameterRow>({
    {"compress-level",
     &Settings::compress_level,
     SettingType::uint8,
     "",
     0,
     9,
     1,
     1,
     false,
     ActsOn::source,
     "0.4",
     false,
     true,
     "zlib of capability compress: 1 is the fastest (1 to 3 are made by ISA-L), 9 the smallest, 0 "
     "sends pages as they are.",
     {},
     kNeedsCompress},
    {"compress-threads",
     &Settings::compress_threads,
     SettingType::uint8,
     "",
     1,
     255,
     8,
     8,
     false,
     ActsOn::source,
     "0.4",
     false,
     true,
     "How many threads compress pages.",
     {},
     kNeedsCompress},
    {"compress-wait-thread",
     &Settings::compress_wait_thread,
     SettingType::boolean,
     "",
     0,
     1,
     1,
     1,
     true,
     ActsOn::source,
     "0.4",
     false,
     true,
     "When all of them are busy: on waits for one, off sends the page as it is.",
     {},
     kNeedsCompress},
    {"decompress-threads",
     &Settings::decompress_threads,
     SettingType::uint8,
     "",
     1,
     255,
     2,
     2,
     false,
     ActsOn::destination,
     "0.4",
     false,
     true,
     "How many threads unpack pages at the destination.",
     {},
     kNeedsCompress},
    {"throttle-trigger-threshold",
     &Settings::throttle_trigger_threshold,
     SettingType::uint8,
     "%",
     1,
     100,
     50,
     50,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "auto-converge and dirty-limit act after every second period in which the guest dirtied more "
     "than this share of what was sent meanwhile.",
     {},
     {}},
    {"cpu-throttle-initial",
     &Settings::cpu_throttle_initial,
     SettingType::uint8,
     "%",
     1,
     99,
     20,
     20,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "How much of their time the vCPUs are held at the first step.",
     {},
     kNeedsAutoConverge},
    {"cpu-throttle-increment",
     &Settings::cpu_throttle_increment,
     SettingType::uint8,
     "%",
     1,
     99,
     10,
     10,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "How much more with each further step.",
     {},
     kNeedsAutoConverge},
    {"cpu-throttle-tailslow",
     &Settings::cpu_throttle_tailslow,
     SettingType::boolean,
     "",
     0,
     1,
     0,
     0,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "Takes a smaller step where that is enough for the dirty rate that was measured.",
     {},
     kNeedsAutoConverge},
    {"max-bandwidth", &Settings::max_bandwidth, SettingType::size, "bytes/s", 0, kAnyU64, 0,
     128 * kMiB, true, ActsOn::source, "0.1", false, false,
     "Ceiling for page data, all channels together; 0 means no limit."},
    {"avail-switchover-bandwidth", &Settings::avail_switchover_bandwidth, SettingType::size,
     "bytes/s", 0, kAnyU64, 0, 0, true, ActsOn::source, "0.1", false, false,
     "Bandwidth to count on when deciding whether the rest fits into downtime-limit; 0 means: as "
     "measured."},
    {"downtime-limit", &Settings::downtime_limit, SettingType::uint64, "ms", 0, 2000000, 300, 300,
     true, ActsOn::source, "0.1", false, false,
     "How long the guest may stand still at switchover."},
    {"multifd-channels",
     &Settings::multifd_channels,
     SettingType::uint8,
     "",
     1,
     255,
     2,
     2,
     false,
     ActsOn::both,
     "0.3",
     false,
     false,
     "Number of channels that carry pages; must be equal on both sides.",
     {},
     kNeedsMultifd},
    {"multifd-compression",
     &Settings::multifd_compression,
     SettingType::enumeration,
     "",
     0,
     kMultifdCompressionWords.size() - 1,
     0,
     0,
     false,
     ActsOn::both,
     "0.3",
     false,
     false,
     "How the channels pack pages; must be equal on both sides.",
     {"MultiFDCompression", kMultifdCompressionWords},
     kNeedsMultifd,
     kExcludesZeroCopy},
    {"multifd-zlib-level",
     &Settings::multifd_zlib_level,
     SettingType::uint8,
     "",
     0,
     9,
     1,
     1,
     false,
     ActsOn::source,
     "0.3",
     false,
     false,
     "zlib: 0 stores, 1 is the fastest (1 to 3 are made by ISA-L), 9 the smallest.",
     {},
     kNeedsMultifd},
    {"multifd-zstd-level",
     &Settings::multifd_zstd_level,
     SettingType::uint8,
     "",
     0,
     20,
     1,
     1,
     false,
     ActsOn::source,
     "0.3",
     false,
     false,
     "zstd: 1 is the fastest, 20 the smallest, 0 the library's default (3).",
     {},
     kNeedsMultifd},
    {"xbzrle-cache-size",
     &Settings::xbzrle_cache_size,
     SettingType::size,
     "bytes",
     kTargetPageBytes,
     uint64_t{1} << 63,
     64 * kMiB,
     64 * kMiB,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "Memory for copies of pages that the destination has: a power of two, best as much as the "
     "guest "
     "writes again and again. A change acts at once and keeps what fits.",
     {},
     kNeedsXbzrle,
     {},
     {},
     true},
    {"zero-page-detection",
     &Settings::zero_page_detection,
     SettingType::enumeration,
     "",
     0,
     kZeroPageDetectionWords.size() - 1,
     2,
     2,
     false,
     ActsOn::source,
     "0.3",
     false,
     false,
     "Who looks for pages of zeros: none (they travel like others), legacy (the main thread, a "
     "record for each on the main channel), multifd (the channels' threads, in their packets; "
     "without multifd, or for a QEMU before 9.0, the same as legacy).",
     {"ZeroPageDetection", kZeroPageDetectionWords}},
    {"tls-creds",
     &Settings::tls_creds,
     SettingType::string,
     "",
     0,
     kMaxIdBytes,
     0,
     0,
     false,
     ActsOn::both,
     "0.3",
     false,
     false,
     "Id of the TLS credentials object for every connection: endpoint client at the source, server "
     "at the destination; \"\" for no TLS.",
     {},
     {},
     kExcludesZeroCopy},
    {"tls-hostname", &Settings::tls_hostname, SettingType::string, "", 0, 255, 0, 0, false,
     ActsOn::source, "0.3", false, false,
     "Whom the server's certificate must name; \"\" for the host of the address. Addresses without "
     "a host need it."},
    {"tls-authz", &Settings::tls_authz, SettingType::string, "", 0, kMaxIdBytes, 0, 0, false,
     ActsOn::destination, "0.3", false, false,
     "Id of the authz object that says whose certificate may connect; \"\" for every good one."},
    {"max-cpu-throttle",
     &Settings::max_cpu_throttle,
     SettingType::uint8,
     "%",
     1,
     99,
     99,
     99,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "How far it may go.",
     {},
     kNeedsAutoConverge,
     {},
     "cpu-throttle-initial"},
    {"announce-initial", &Settings::announce_initial, SettingType::size, "ms", 0, 100000, 50, 50,
     true, ActsOn::destination, "0.2", false, false,
     "Delay before the second announcement of the guest's new place to the network; the first is "
     "sent at once when the guest runs."},
    {"announce-max", &Settings::announce_max, SettingType::size, "ms", 0, 100000, 550, 550, true,
     ActsOn::destination, "0.2", false, false, "Longest delay between two announcements."},
    {"announce-rounds", &Settings::announce_rounds, SettingType::size, "", 0, 1000, 5, 5, true,
     ActsOn::destination, "0.2", false, false, "How many announcements each network device sends."},
    {"announce-step", &Settings::announce_step, SettingType::size, "ms", 1, 10000, 100, 100, true,
     ActsOn::destination, "0.2", false, false,
     "By how much the delay grows with each announcement."},
    {"x-vcpu-dirty-limit-period",
     &Settings::vcpu_dirty_limit_period,
     SettingType::uint64,
     "ms",
     1,
     1000,
     1000,
     1000,
     true,
     ActsOn::source,
     "0.4",
     true,
     false,
     "How often dirty-limit measures what each vCPU dirties.",
     {},
     kNeedsDirtyLimit},
    {"vcpu-dirty-limit",
     &Settings::vcpu_dirty_limit,
     SettingType::uint64,
     "MiB/s",
     1,
     kAnyU64,
     1,
     1,
     true,
     ActsOn::source,
     "0.4",
     false,
     false,
     "What dirty-limit lets each vCPU dirty.",
     {},
     kNeedsDirtyLimit},
    {"x-peer-version",
     &Settings::peer_version,
     SettingType::enumeration,
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
     "from machine names that carry a QEMU version.",
     {"PeerVersion", kPeerVersionWords}},
    {"x-connect-timeout", &Settings::connect_timeout, SettingType::uint32, "ms", 1, kDayMs, 30000,
     30000, false, ActsOn::source, "0.1", true, false, "How long connecting may take."},
    {"x-handshake-timeout", &Settings::handshake_timeout, SettingType::uint32, "ms", 1, kDayMs,
     30000, 30000, false, ActsOn::both, "0.1", true, false,
     "How long to wait for the peer's first words."},
    {"x-channel-timeout",
     &Settings::channel_timeout,
     SettingType::uint32,
     "ms",
     1,
     kDayMs,
     30000,
     30000,
     false,
     ActsOn::destination,
     "0.3",
     true,
     false,
     "How long the multifd channels may take to arrive, from the first connection on.",
     {},
     kNeedsMultifd},
    {"x-stall-timeout", &Settings::stall_timeout, SettingType::uint32, "ms", 1, kDayMs, 60000,
     60000, false, ActsOn::both, "0.1", true, false, "How long no byte may move where one is due."},
    {"x-idle-timeout", &Settings::idle_timeout, SettingType::uint32, "ms", 1, kDayMs, 3600000,
     3600000, false, ActsOn::destination, "0.1", true, false,
     "How long a source that is not tern may be silent: it cannot prove that it lives, and may "
     "pause for long."},
    {"x-final-timeout", &Settings::final_timeout, SettingType::uint32, "ms", 1, kDayMs, 120000,
     120000, false, ActsOn::both, "0.1", true, false,
     "How long the source waits for the destination to say that it loaded, and a destination for "
     "the go."},
    {"x-unplug-timeout", &Settings::unplug_timeout, SettingType::uint32, "ms", 1, kDayMs, 300000,
     300000, false, ActsOn::source, "0.2", true, false,
     "How long the guest may take to let go of a device that cannot migrate."},
    {"x-max-device-state", &Settings::max_device_state, SettingType::size, "bytes", kMiB,
     1024 * kMiB, 64 * kMiB, 64 * kMiB, false, ActsOn::destination, "0.1", true, false,
     "Most device state that a destination keeps in memory for a peer."},
    {"x-multifd-adaptive",
     &Settings::multifd_adaptive,
     SettingType::boolean,
     "",
     0,
     1,
     1,
     1,
     false,
     ActsOn::source,
     "0.3",
     true,
     false,
     "With multifd-compression, to a tern destination: a batch of pages that compression would not "
     "bring there sooner, by the measured speed of link and CPU, goes as it is. QEMU cannot read "
     "such a channel; to it everything is compressed.",
     {},
     kNeedsMultifd},
    {"x-switchover-policy",
     &Settings::switchover_policy,
     SettingType::enumeration,
     "",
     0,
     kSwitchoverPolicyWords.size() - 1,
     0,
     0,
     false,
     ActsOn::source,
     "0.4",
     true,
     false,
     "Whose rules say when dirty pages are collected and when the guest is stopped: tern's, or "
     "exactly those of a QEMU, for comparison.",
     {"SwitchoverPolicy", kSwitchoverPolicyWords}},
    {"x-thread-prefix", &Settings::thread_prefix, SettingType::string, "", 0, 8, 0, 0, false,
     ActsOn::both, "0.2", true, false,
     "Put before the names of the migration's threads (which are cut at 15 characters), to tell "
     "several machines of one process apart; null or \"\" for none."},
});

/// nullptr for an unknown name.
const ParameterRow* find_parameter(std::string_view name) noexcept;

/// The value in `settings`. A peer version that is not set reads as the row's API default.
Value get(const Settings& settings, const ParameterRow& row) noexcept;
/// Stores without checking the range; `value` must be of the row's type.
void set(Settings& settings, const ParameterRow& row, const Value& value) noexcept;

/// Text as set_by_name takes it. Errors: invalid_argument naming the row and what it takes.
Result<Value> value_from_text(const ParameterRow& row, std::string_view text) noexcept;
std::string value_to_text(const ParameterRow& row, const Value& value) noexcept;

/// Of numbers.
bool is_in_range(const ParameterRow& row, uint64_t value) noexcept;
/// "0..100000 ms", "tern, qemu-7.2 …": what the row accepts, for messages and pages.
std::string range_text(const ParameterRow& row) noexcept;

/// Settings with every parameter and capability at its QMP default.
Settings qmp_defaults() noexcept;

namespace detail {
constexpr bool type_fits_member(const ParameterRow& row) {
  switch (row.type) {
    case SettingType::uint8:
    case SettingType::uint32:
      return std::holds_alternative<uint32_t Settings::*>(row.member);
    case SettingType::boolean:
      return std::holds_alternative<bool Settings::*>(row.member);
    case SettingType::string:
      return std::holds_alternative<std::string Settings::*>(row.member);
    case SettingType::enumeration:
      return std::holds_alternative<std::optional<PeerVersion> Settings::*>(row.member) ||
             std::holds_alternative<MultifdCompression Settings::*>(row.member) ||
             std::holds_alternative<ZeroPageDetection Settings::*>(row.member) ||
             std::holds_alternative<SwitchoverPolicy Settings::*>(row.member) ||
             std::holds_alternative<uint32_t Settings::*>(row.member);
    case SettingType::uint64:
    case SettingType::size:
      return std::holds_alternative<uint64_t Settings::*>(row.member);
  }
  return false;
}
constexpr uint64_t largest(SettingType type) {
  if (type == SettingType::boolean) return 1;
  if (type == SettingType::uint8) return std::numeric_limits<uint8_t>::max();
  if (type == SettingType::uint32) return std::numeric_limits<uint32_t>::max();
  return kAnyU64;
}
constexpr bool parameters_are_sound() {
  for (size_t i = 0; i < kParameters.size(); ++i) {
    const ParameterRow& row = kParameters[i];
    if (row.name.empty() || row.help.empty() || row.min > row.max) return false;
    if (row.max > largest(row.type) || !type_fits_member(row)) return false;
    if (row.api_default < row.min || row.api_default > row.max) return false;
    if (row.qmp_default < row.min || row.qmp_default > row.max) return false;
    if ((row.type == SettingType::enumeration) == row.words.words.empty()) return false;
    if (row.unstable != row.name.starts_with("x-")) return false;
    if (row.power_of_two && !std::has_single_bit(row.qmp_default)) return false;
    bool bound_exists = row.not_below.empty();
    for (size_t k = 0; k < kParameters.size(); ++k) {
      if (kParameters[k].name == row.not_below && k != i) bound_exists = true;
      if (k < i && (kParameters[k].name == row.name || kParameters[k].member == row.member)) {
        return false;
      }
    }
    if (!bound_exists) return false;
  }
  return true;
}
}  // namespace detail
static_assert(detail::parameters_are_sound(),
              "a default outside its range, a name or member used twice, a bound that does not "
              "exist, or a type that does not fit its member");

}  // namespace tern::params
