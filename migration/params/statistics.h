// SPDX-License-Identifier: Apache-2.0
//
// Every statistic as one row: query-migrate, its type in query-qmp-schema, the C accessors and the
// reference page are made from these rows. Owns names, units and where a number is read from;
// counts nothing.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "migration/state/status_mask.h"
#include "tern/catalog.h"
#include "tern/stats.h"

namespace tern::params {

/// The JSON object of query-migrate that it stands in.
enum class StatGroup { info, ram, xbzrle, compression, tern, downtime, switchover, throttle };
inline constexpr std::array<std::string_view, 8> kGroupPrefixes = {"",
                                                                   "ram.",
                                                                   "xbzrle-cache.",
                                                                   "compression.",
                                                                   "x-tern.",
                                                                   "x-tern.downtime-ns.",
                                                                   "x-tern.switchover.",
                                                                   "x-tern.throttle."};

struct StatisticRow {
  StatisticInfo info;
  StatGroup group;
  StatisticValue (*read)(const StatsSnapshot&);
  /// States of the outgoing migration in which query-migrate shows it, if it is known.
  StatusMask shown;
  /// The incoming migration shows it, too.
  bool incoming = false;

  /// The name without the group's prefix.
  constexpr std::string_view leaf() const noexcept {
    return info.name.substr(kGroupPrefixes[static_cast<size_t>(group)].size());
  }
};

namespace detail {

inline StatisticValue value_of(uint64_t v) noexcept { return v; }
inline StatisticValue value_of(double v) noexcept { return v; }
inline StatisticValue value_of(const std::string& v) noexcept { return v; }
inline StatisticValue value_of(Milliseconds v) noexcept { return static_cast<uint64_t>(v.count()); }
inline StatisticValue value_of(Nanoseconds v) noexcept { return static_cast<uint64_t>(v.count()); }
inline StatisticValue value_of(Status v) noexcept { return std::string(to_string(v)); }
inline StatisticValue value_of(Ending v) noexcept { return std::string(to_string(v)); }

template <auto M>
StatisticValue member(const StatsSnapshot& s) {
  return value_of(s.*M);
}
template <auto M>
StatisticValue phase(const StatsSnapshot& s) {
  return value_of(s.downtime_phases.*M);
}
template <auto M>
StatisticValue decision(const StatsSnapshot& s) {
  return value_of(s.switchover.*M);
}
template <auto M>
StatisticValue throttle(const StatsSnapshot& s) {
  return value_of(uint64_t{s.throttle.*M});
}
inline StatisticValue throttle_now(const StatsSnapshot& s) {
  if (s.throttle.percent == 0 || s.throttle.dirty_limit) return {};
  return value_of(uint64_t{s.throttle.percent});
}
template <auto M>
StatisticValue dirty_limit(const StatsSnapshot& s) {
  if (!s.throttle.dirty_limit) return {};
  return value_of((*s.throttle.dirty_limit).*M);
}
/// Of a migration that has the capability.
template <auto M>
StatisticValue of_xbzrle(const StatsSnapshot& s) {
  if (!s.xbzrle) return {};
  return value_of((*s.xbzrle).*M);
}
template <auto M>
StatisticValue of_compression(const StatsSnapshot& s) {
  if (!s.compression) return {};
  return value_of((*s.compression).*M);
}
/// Something that QEMU counts and no engine here does: it has not happened.
inline StatisticValue never(const StatsSnapshot&) { return uint64_t{0}; }
/// What is 0 by definition once the migration is over.
template <auto M>
StatisticValue until_completed(const StatsSnapshot& s) {
  return s.status == Status::completed ? value_of(uint64_t{0}) : value_of(s.*M);
}
inline StatisticValue status(const StatsSnapshot& s) {
  if (s.status == Status::none) return {};
  return value_of(s.status);
}
inline StatisticValue error_desc(const StatsSnapshot& s) {
  if (s.error_desc.empty()) return {};
  return s.error_desc;
}
inline StatisticValue downtime(const StatsSnapshot& s) {
  return value_of(s.downtime.value_or(Milliseconds{0}));
}
inline StatisticValue expected_downtime(const StatsSnapshot& s) {
  return value_of(s.expected_downtime.value_or(Milliseconds{0}));
}
inline StatisticValue downtime_total(const StatsSnapshot& s) {
  return value_of(s.downtime_phases.total());
}

using enum StatisticType;
using G = StatGroup;
using S = StatsSnapshot;
using P = DowntimePhases;
using X = XbzrleStats;
using C = CompressionStats;
using D = SwitchoverDecision;
using T = ThrottleStats;
using L = DirtyLimitFigures;
inline constexpr StatusMask kEver = kAnyStatus & ~bit(Status::none);
inline constexpr StatusMask kDowntimeKnown = kPostcopy | bit(Status::completed);

}  // namespace detail

inline constexpr auto kStatistics = [] {
  using namespace detail;  // NOLINT(google-build-using-namespace): the rows stay readable
  constexpr StatusMask kRun = kShowsProgress;
  return std::to_array<StatisticRow>({
      {{"status", text, "", "0.1", "Where the migration stands."}, G::info, status, kEver, true},
      {{"total-time", integer, "ms", "0.1",
        "From the acceptance of `migrate` until now, or until the end."},
       G::info,
       member<&S::total_time>,
       kRun},
      {{"setup-time", integer, "ms", "0.1", "Until everything before the first page was sent."},
       G::info,
       member<&S::setup_time>,
       kRun},
      {{"expected-downtime", integer, "ms", "0.1",
        "How long the guest would stand still if it were stopped now; downtime-limit until that is "
        "known."},
       G::info,
       expected_downtime,
       kRun & ~kDowntimeKnown},
      {{"downtime", integer, "ms", "0.1", "How long the guest stood still."},
       G::info,
       downtime,
       kDowntimeKnown},
      {{"cpu-throttle-percentage", integer, "%", "0.4",
        "How much of their time the vCPUs are held back (auto-converge); absent while they are "
        "not."},
       G::info,
       throttle_now,
       kRun},
      {{"dirty-limit-throttle-time-per-round", integer, "us", "0.4",
        "What the vCPU that is held back most would sleep for each dirty ring of 16 MiB to the "
        "same "
        "effect; absent while dirty-limit holds nobody back."},
       G::info,
       dirty_limit<&L::throttle_time_per_round>,
       kRun},
      {{"dirty-limit-ring-full-time", integer, "us", "0.4",
        "In what time such a ring fills at the mean rate of the vCPUs that dirty anything."},
       G::info,
       dirty_limit<&L::ring_full_time>,
       kRun},
      {{"error-desc", text, "", "0.1", "The first error, in words."},
       G::info,
       error_desc,
       kEver,
       true},

      {{"ram.transferred", integer, "bytes", "0.1", "What was sent, everything included."},
       G::ram,
       member<&S::transferred>,
       kRun},
      {{"ram.remaining", integer, "bytes", "0.1", "RAM known to be dirty."},
       G::ram,
       until_completed<&S::remaining>,
       kRun},
      {{"ram.total", integer, "bytes", "0.1", "RAM of the guest."},
       G::ram,
       member<&S::total>,
       kRun},
      {{"ram.duplicate", integer, "pages", "0.1", "Pages of zeros, however they were sent."},
       G::ram,
       member<&S::duplicate>,
       kRun},
      {{"ram.skipped", integer, "pages", "0.1", "Always 0, as in every QEMU that has it."},
       G::ram,
       never,
       kRun},
      {{"ram.normal", integer, "pages", "0.1", "Pages sent as they are."},
       G::ram,
       member<&S::normal>,
       kRun},
      {{"ram.normal-bytes", integer, "bytes", "0.1", "normal times page-size."},
       G::ram,
       member<&S::normal_bytes>,
       kRun},
      {{"ram.dirty-pages-rate", integer, "pages/s", "0.1",
        "Pages the guest dirtied, measured between syncs at least a second apart."},
       G::ram,
       until_completed<&S::dirty_pages_rate>,
       kRun},
      {{"ram.mbps", real, "Mbit/s", "0.1",
        "Rate of the last 100 ms; once completed, the mean without the setup."},
       G::ram,
       member<&S::mbps>,
       kRun},
      {{"ram.dirty-sync-count", integer, "", "0.1", "How often dirty pages were collected."},
       G::ram,
       member<&S::dirty_sync_count>,
       kRun},
      {{"ram.postcopy-requests", integer, "", "0.1", "Pages the destination asked for."},
       G::ram,
       never,
       kRun},
      {{"ram.page-size", integer, "bytes", "0.1", "The page that is counted in."},
       G::ram,
       member<&S::page_size>,
       kRun},
      {{"ram.multifd-bytes", integer, "bytes", "0.1", "Sent over multifd channels."},
       G::ram,
       member<&S::multifd_bytes>,
       kRun},
      {{"ram.pages-per-second", integer, "pages/s", "0.1", "Pages of the last 100 ms."},
       G::ram,
       member<&S::pages_per_second>,
       kRun},
      {{"ram.precopy-bytes", integer, "bytes", "0.1", "Sent while the guest ran."},
       G::ram,
       member<&S::precopy_bytes>,
       kRun},
      {{"ram.downtime-bytes", integer, "bytes", "0.1", "Sent while it stood still."},
       G::ram,
       member<&S::downtime_bytes>,
       kRun},
      {{"ram.postcopy-bytes", integer, "bytes", "0.1", "Sent after it went over."},
       G::ram,
       never,
       kRun},
      {{"ram.dirty-sync-missed-zero-copy", integer, "", "0.1",
        "Syncs at which zero-copy fell back to copying."},
       G::ram,
       member<&S::dirty_sync_missed_zero_copy>,
       kRun},

      {{"xbzrle-cache.cache-size", integer, "bytes", "0.4", "What xbzrle-cache-size is."},
       G::xbzrle,
       of_xbzrle<&X::cache_size>,
       kRun},
      {{"xbzrle-cache.bytes", integer, "bytes", "0.4",
        "Sent as patches; a page that changed too much for one counts whole."},
       G::xbzrle,
       of_xbzrle<&X::bytes>,
       kRun},
      {{"xbzrle-cache.pages", integer, "pages", "0.4",
        "Found in the cache: sent as patches, whole, or not at all because nothing had changed."},
       G::xbzrle,
       of_xbzrle<&X::pages>,
       kRun},
      {{"xbzrle-cache.cache-miss", integer, "pages", "0.4", "Not found in it."},
       G::xbzrle,
       of_xbzrle<&X::cache_miss>,
       kRun},
      {{"xbzrle-cache.cache-miss-rate", real, "", "0.4",
        "Misses for each page sent, between the last two syncs a second or more apart."},
       G::xbzrle,
       of_xbzrle<&X::cache_miss_rate>,
       kRun},
      {{"xbzrle-cache.encoding-rate", real, "", "0.4",
        "Bytes of pages for a byte of patches, between those syncs."},
       G::xbzrle,
       of_xbzrle<&X::encoding_rate>,
       kRun},
      {{"xbzrle-cache.overflow", integer, "pages", "0.4",
        "Changed too much for a patch, sent whole."},
       G::xbzrle,
       of_xbzrle<&X::overflow>,
       kRun},

      {{"compression.pages", integer, "pages", "0.4", "Sent compressed."},
       G::compression,
       of_compression<&C::pages>,
       kRun},
      {{"compression.busy", integer, "", "0.4",
        "Times that all threads were busy when a page came."},
       G::compression,
       of_compression<&C::busy>,
       kRun},
      {{"compression.busy-rate", real, "", "0.4",
        "Of them for each compressed page, between the last two syncs a second or more apart."},
       G::compression,
       of_compression<&C::busy_rate>,
       kRun},
      {{"compression.compressed-size", integer, "bytes", "0.4", "Of the compressed pages."},
       G::compression,
       of_compression<&C::compressed_size>,
       kRun},
      {{"compression.compression-rate", real, "", "0.4",
        "Bytes of pages for a byte of compressed ones, between those syncs."},
       G::compression,
       of_compression<&C::compression_rate>,
       kRun},

      {{"x-tern.ending", text, "", "0.1",
        "Where the guest is: none (not ended), handed-over, kept, unknown; at a destination taken, "
        "not-taken."},
       G::tern,
       member<&S::ending>,
       kEver,
       true},
      {{"x-tern.tracker", text, "", "0.1", "How dirty pages are found."},
       G::tern,
       member<&S::tracker>,
       kEver,
       true},
      {{"x-tern.hole-finder", text, "", "0.1", "How never-touched memory was found."},
       G::tern,
       member<&S::hole_finder>,
       kEver,
       true},
      {{"x-tern.page-ops", text, "", "0.1", "Which SIMD variant looks for zeros."},
       G::tern,
       member<&S::page_ops>,
       kEver,
       true},
      {{"x-tern.peer", text, "", "0.1", "Who is on the other side, if it said so."},
       G::tern,
       member<&S::peer>,
       kEver,
       true},
      {{"x-tern.transport", text, "", "0.1", "The connection."},
       G::tern,
       member<&S::transport>,
       kEver,
       true},
      {{"x-tern.never-touched-bytes", integer, "bytes", "0.1",
        "RAM that was never written, found without reading it."},
       G::tern,
       member<&S::never_touched_bytes>,
       kEver,
       true},

      {{"x-tern.downtime-ns.stop-vcpus", integer, "ns", "0.1", "Until no vCPU ran."},
       G::downtime,
       phase<&P::stop_vcpus>,
       kEver,
       true},
      {{"x-tern.downtime-ns.paused", integer, "ns", "0.1", "In pre-switchover."},
       G::downtime,
       phase<&P::paused>,
       kEver,
       true},
      {{"x-tern.downtime-ns.final-sync", integer, "ns", "0.1", "Collecting the last dirty pages."},
       G::downtime,
       phase<&P::final_sync>,
       kEver,
       true},
      {{"x-tern.downtime-ns.last-pages", integer, "ns", "0.1", "Sending them."},
       G::downtime,
       phase<&P::last_pages>,
       kEver,
       true},
      {{"x-tern.downtime-ns.device-save", integer, "ns", "0.1", "Saving and sending devices."},
       G::downtime,
       phase<&P::device_save>,
       kEver,
       true},
      {{"x-tern.downtime-ns.peer-load", integer, "ns", "0.1", "Until the destination had it."},
       G::downtime,
       phase<&P::peer_load>,
       kEver,
       true},
      {{"x-tern.downtime-ns.total", integer, "ns", "0.1", "Their sum."},
       G::downtime,
       downtime_total,
       kEver,
       true},

      {{"x-tern.switchover.bandwidth", integer, "bytes/s", "0.1",
        "What the decision to switch over counted on, of RAM (packed or not)."},
       G::switchover,
       decision<&D::bandwidth>,
       kEver,
       true},
      {{"x-tern.switchover.pending-bytes", integer, "bytes", "0.1", "What it knew to be dirty."},
       G::switchover,
       decision<&D::pending_bytes>,
       kEver,
       true},
      {{"x-tern.switchover.threshold-bytes", integer, "bytes", "0.1",
        "What fits into downtime-limit at that bandwidth."},
       G::switchover,
       decision<&D::threshold_bytes>,
       kEver,
       true},
      {{"x-tern.switchover.dirty-rate", integer, "bytes/s", "0.4",
        "What became dirty in the last moments before it."},
       G::switchover,
       decision<&D::dirty_rate>,
       kEver,
       true},
      {{"x-tern.switchover.overhead", integer, "ms", "0.4",
        "What it kept of downtime-limit for more than sending RAM."},
       G::switchover,
       decision<&D::overhead_ms>,
       kEver,
       true},
      {{"x-tern.switchover.expected-downtime", integer, "ms", "0.1", "What it expected."},
       G::switchover,
       decision<&D::expected_downtime_ms>,
       kEver,
       true},
      {{"x-tern.switchover.final-dirty-bytes", integer, "bytes", "0.1",
        "What was dirty when the guest stood still."},
       G::switchover,
       decision<&D::final_dirty_bytes>,
       kEver,
       true},
      {{"x-tern.switchover.measured-bandwidth", integer, "bytes/s", "0.4",
        "How fast that was sent, in the end."},
       G::switchover,
       decision<&D::measured_bandwidth>,
       kEver,
       true},

      {{"x-tern.throttle.highest-percentage", integer, "%", "0.4",
        "The strongest throttle of this migration."},
       G::throttle,
       throttle<&T::highest_percent>,
       kEver,
       true},
      {{"x-tern.throttle.percent-ms", integer, "%*ms", "0.4",
        "What throttling took from each vCPU: percentage times time, summed up."},
       G::throttle,
       throttle<&T::percent_ms>,
       kEver,
       true},
  });
}();

namespace detail {
constexpr bool statistics_are_sound() {
  for (size_t i = 0; i < kStatistics.size(); ++i) {
    const StatisticRow& row = kStatistics[i];
    if (!row.info.name.starts_with(kGroupPrefixes[static_cast<size_t>(row.group)])) return false;
    if (row.leaf().empty() || row.leaf().find('.') != std::string_view::npos) return false;
    if (row.info.help.empty() || row.read == nullptr) return false;
    for (size_t k = 0; k < i; ++k) {
      if (kStatistics[k].info.name == row.info.name) return false;
    }
  }
  return true;
}
}  // namespace detail
static_assert(detail::statistics_are_sound(), "a name used twice, outside its group, or no help");

/// nullptr for an unknown name.
const StatisticRow* find_statistic(std::string_view name) noexcept;

}  // namespace tern::params
