// SPDX-License-Identifier: Apache-2.0
//
// Progress: everything one migration counts and measures, and how a StatsSnapshot is made of it.
// The threads that migrate write, anybody reads; nothing here decides.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "stats/ram_counters.h"
#include "tern/clock.h"
#include "tern/stats.h"

namespace tern {

/// Thread rules: the counters have one writer; the functions may be called from any thread and do
/// not block for long.
class Progress {
 public:
  explicit Progress(Clock& clock) noexcept : clock_(clock) {}

  RamCounters ram;
  XbzrleCounters xbzrle;
  CompressCounters compress;
  Counter transferred;     // bytes that the channel took (source) or gave (destination)
  Counter remaining;       // bytes known to be dirty
  Counter precopy_bytes;   // while the guest ran
  Counter downtime_bytes;  // while it did not
  Counter dirty_sync_count;
  Counter dirty_pages_rate;
  Counter total;  // bytes of RAM

  /// The multifd channels; once, before the first of them is used.
  void set_channels(size_t count) noexcept TERN_EXCLUDES(mutex_);
  void set_channel_peer(size_t channel, std::string peer) noexcept TERN_EXCLUDES(mutex_);
  ChannelCounters& channel(size_t index) noexcept { return channels_[index]; }
  /// Bytes on all multifd channels.
  uint64_t multifd_bytes() const noexcept;
  /// Pages sent or received over all channels, with data and in all.
  uint64_t normal_pages() const noexcept;
  /// Those that travelled with all their content, compressed ones too: what a page costs.
  uint64_t data_pages() const noexcept { return normal_pages() + ram.compressed.get(); }
  uint64_t pages() const noexcept;
  uint64_t zero_pages() const noexcept;

  /// The capability is on: snapshots have its statistics.
  void show_xbzrle() noexcept TERN_EXCLUDES(mutex_);
  void show_compression() noexcept TERN_EXCLUDES(mutex_);
  /// The rates of what makes pages smaller, since the last call; at dirty syncs, a second or more
  /// apart.
  void update_rates() noexcept TERN_EXCLUDES(mutex_);
  /// The migration begins; start of total-time.
  void begin() noexcept TERN_EXCLUDES(mutex_);
  /// Setup is over.
  void setup_done() noexcept TERN_EXCLUDES(mutex_);
  /// The migration is over: total-time and mbps stand still. Idempotent.
  void end() noexcept TERN_EXCLUDES(mutex_);
  void set_downtime(const DowntimePhases& phases, bool over) noexcept TERN_EXCLUDES(mutex_);
  void set_decision(const SwitchoverDecision& decision) noexcept TERN_EXCLUDES(mutex_);
  void set_expected_downtime(std::optional<Milliseconds> expected) noexcept TERN_EXCLUDES(mutex_);
  void set_ending(Ending ending) noexcept TERN_EXCLUDES(mutex_);
  enum class Choice { tracker, hole_finder, page_ops, peer, transport };
  void set_choice(Choice which, std::string value) noexcept TERN_EXCLUDES(mutex_);
  /// 0: it ended.
  void set_throttle(uint32_t percent) noexcept TERN_EXCLUDES(mutex_);
  /// Without figures: its limits are gone.
  void set_dirty_limit(std::optional<DirtyLimitFigures> figures) noexcept TERN_EXCLUDES(mutex_);
  /// Nobody is held back of a guest that stands still: its time does not count. Runs: the default.
  void set_guest_runs(bool runs) noexcept TERN_EXCLUDES(mutex_);
  void set_never_touched(uint64_t bytes) noexcept TERN_EXCLUDES(mutex_);

  /// Closes a rate window if at least 100 ms passed since the last (QEMU's window): mbps,
  /// pages-per-second.
  void tick() noexcept TERN_EXCLUDES(mutex_);

  /// Status and error are the session's and are filled in by the caller.
  StatsSnapshot snapshot() const noexcept TERN_EXCLUDES(mutex_);

 private:
  Clock& clock_;
  mutable Mutex mutex_;
  StatsSnapshot base_ TERN_GUARDED_BY(mutex_);
  std::optional<Nanoseconds> began_ TERN_GUARDED_BY(mutex_);
  std::optional<Nanoseconds> ended_ TERN_GUARDED_BY(mutex_);
  void set_throttle_locked(uint32_t percent) noexcept TERN_REQUIRES(mutex_);

  uint64_t percent_ms_since(Nanoseconds now) const noexcept TERN_REQUIRES(mutex_);

  Nanoseconds throttled_since_ TERN_GUARDED_BY(mutex_){0};
  bool guest_runs_ TERN_GUARDED_BY(mutex_) = true;
  bool setup_over_ TERN_GUARDED_BY(mutex_) = false;
  Nanoseconds window_start_ TERN_GUARDED_BY(mutex_){0};
  uint64_t window_bytes_ TERN_GUARDED_BY(mutex_) = 0;
  uint64_t window_pages_ TERN_GUARDED_BY(mutex_) = 0;
  struct RateWindow {
    uint64_t all_pages = 0;
    uint64_t xbzrle_pages = 0;
    uint64_t xbzrle_bytes = 0;
    uint64_t cache_miss = 0;
    uint64_t compressed = 0;
    uint64_t compressed_bytes = 0;
    uint64_t busy = 0;
  };
  RateWindow rates_ TERN_GUARDED_BY(mutex_);  // the counters at the last update
  std::vector<std::string> channel_peers_ TERN_GUARDED_BY(mutex_);
  // The array is made once, before other threads know of it.
  std::unique_ptr<ChannelCounters[]> channels_;
  std::atomic<size_t> channel_count_{0};
};

}  // namespace tern
