// SPDX-License-Identifier: Apache-2.0
//
// What a migration knows about itself, as one immutable value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tern/clock.h"
#include "tern/dirty_limit.h"
#include "tern/events.h"

namespace tern {

/// Where the time went in which the guest did not run. Sum = downtime. Each in ns, 0 = not reached.
struct DowntimePhases {
  Nanoseconds stop_vcpus{0};   ///< until no vCPU ran any more
  Nanoseconds paused{0};       ///< waiting in pre-switchover for migrate-continue
  Nanoseconds final_sync{0};   ///< last harvest of dirty pages
  Nanoseconds last_pages{0};   ///< sending what was dirty
  Nanoseconds device_save{0};  ///< saving and sending device state
  Nanoseconds peer_load{
      0};  ///< until the destination said that it loaded (and, to tern, was told to go)
  Nanoseconds total() const noexcept {
    return stop_vcpus + paused + final_sync + last_pages + device_save + peer_load;
  }
};

/// What the switchover decision believed, and what came of it.
struct SwitchoverDecision {
  uint64_t bandwidth = 0;        ///< bytes/s of RAM it counted on
  uint64_t dirty_rate = 0;       ///< bytes/s that became dirty in the last moments
  uint64_t pending_bytes = 0;    ///< known dirty at the decision
  uint64_t threshold_bytes = 0;  ///< what fits into the downtime limit
  uint64_t overhead_ms = 0;      ///< of the limit, what was kept for more than sending RAM
  uint64_t expected_downtime_ms = 0;
  uint64_t final_dirty_bytes = 0;   ///< what was dirty when the guest stood still
  uint64_t measured_bandwidth = 0;  ///< bytes/s at which that went
};

/// How the guest was held back so that the migration converges.
struct ThrottleStats {
  struct Step {
    Milliseconds at{0};    ///< since the migration began
    uint32_t percent = 0;  ///< from then on; 0: not any more
  };
  /// Now: of all vCPUs (auto-converge), or of the one held most in the last period (dirty-limit).
  uint32_t percent = 0;
  uint32_t highest_percent = 0;  ///< ever
  /// Percent times milliseconds so far, of each vCPU: 1000 ms at 20% are 20000.
  uint64_t percent_ms = 0;
  std::vector<Step> course;
  /// Of dirty-limit, while its limits are in force: tern/dirty_limit.h.
  std::optional<DirtyLimitFigures> dirty_limit;
};

/// How a migration ended, as far as the guest is concerned.
enum class Ending {
  none,         ///< not ended
  handed_over,  ///< the destination confirmed
  kept,         ///< failed or cancelled: the guest is with the source as before
  unknown,    ///< the link died after the destination may have taken it: stopped and complete here
  taken,      ///< destination: the guest is here
  not_taken,  ///< destination: failed, the guest never ran here
};
TERN_API std::string_view to_string(Ending ending) noexcept;

/// One multifd channel.
struct ChannelStats {
  uint32_t id = 0;
  std::string peer;               ///< "tcp:127.0.0.1:4444", "" before it is there
  uint64_t bytes = 0;             ///< on the channel, with headers
  uint64_t packets = 0;           ///< with pages or without
  uint64_t syncs = 0;             ///< of them those that carried SYNC
  uint64_t normal = 0;            ///< pages with data
  uint64_t zero = 0;              ///< pages of zeros in packets
  uint64_t compressed_pages = 0;  ///< of the normal ones those that went compressed
};

/// XBZRLE at a source (QEMU's XBZRLECacheStats).
struct XbzrleStats {
  uint64_t cache_size = 0;     ///< bytes, as set
  uint64_t bytes = 0;          ///< of patches, and of whole pages where one would have been longer
  uint64_t pages = 0;          ///< found in the cache: sent as patches, whole, or not at all
  uint64_t cache_miss = 0;     ///< pages that were not in the cache
  double cache_miss_rate = 0;  ///< of all pages sent, in the last measured second or more
  double encoding_rate = 0;    ///< bytes of pages for a byte of patches, likewise
  uint64_t overflow = 0;       ///< pages that changed too much for a patch
};

/// Capability compress at a source (QEMU's CompressionStats).
struct CompressionStats {
  uint64_t pages = 0;            ///< sent compressed
  uint64_t busy = 0;             ///< times that all threads were busy when a page came
  double busy_rate = 0;          ///< for each page, in the last measured second or more
  uint64_t compressed_size = 0;  ///< bytes of the compressed pages
  double compression_rate = 0;   ///< bytes of pages for a byte of these, likewise
};

struct StatsSnapshot {
  Nanoseconds taken_at{0};  ///< Clock::now() when the snapshot was made
  Status status = Status::none;
  Ending ending = Ending::none;
  std::string error_desc;  ///< first error, "" if none

  Milliseconds total_time{0};
  Milliseconds setup_time{0};
  std::optional<Milliseconds> downtime;           ///< once it is over
  std::optional<Milliseconds> expected_downtime;  ///< source while active
  DowntimePhases downtime_phases;
  SwitchoverDecision switchover;
  ThrottleStats throttle;

  // ---- RAM (QEMU's MigrationStats)
  uint64_t transferred = 0;  ///< bytes on the wire
  uint64_t remaining = 0;    ///< bytes known to be dirty
  uint64_t total = 0;        ///< bytes of all blocks
  uint64_t duplicate = 0;    ///< zero pages, however sent
  uint64_t normal = 0;       ///< pages sent as they are
  uint64_t normal_bytes = 0;
  uint64_t dirty_pages_rate = 0;  ///< pages/s
  double mbps = 0;                ///< megabits/s
  uint64_t pages_per_second = 0;
  uint64_t dirty_sync_count = 0;
  uint64_t precopy_bytes = 0;
  uint64_t downtime_bytes = 0;
  uint64_t page_size = 4096;
  uint64_t multifd_bytes = 0;  ///< of transferred, what the multifd channels carried
  /// Times a channel came to a sync point and the kernel had copied everything that was sent
  /// without a copy.
  uint64_t dirty_sync_missed_zero_copy = 0;
  std::vector<ChannelStats> channels;
  std::optional<CompressionStats> compression;  ///< source, where capability compress is on
  std::optional<XbzrleStats> xbzrle;            ///< source, where the capability is on

  // ---- what was chosen at run time
  std::string tracker;               ///< "kvm-bitmap", "wp-async", "wp-sync", "" if none
  std::string hole_finder;           ///< "pagemap-scan", "pagemap", "all"
  std::string page_ops;              ///< SIMD variant: "avx2", "generic" …
  std::string peer;                  ///< "tern 0.1", "qemu", "" if not known
  std::string transport;             ///< "tcp:127.0.0.1:4444"
  uint64_t never_touched_bytes = 0;  ///< found without reading
  uint64_t source_downtime_ms = 0;   ///< destination: not known, 0
};

}  // namespace tern
