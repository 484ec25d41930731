// SPDX-License-Identifier: Apache-2.0
//
// Precopy: sends RAM in passes while the guest runs, until little enough is left. It owns the
// tracker's start and stop and the dirty bitmap; when to stop the guest is policy/switchover's
// word.
#pragma once

#include "migration/policy/bandwidth.h"
#include "migration/policy/switchover.h"
#include "migration/source/multifd_source.h"
#include "migration/source/source_context.h"
#include "migration/source/source_link.h"
#include "ram/guest_memory.h"
#include "ram/send/ram_sender.h"
#include "transport/limiter.h"

namespace tern {

inline constexpr uint32_t kRamSectionId = 1;

/// Who looks for pages of zeros, given what the peer can read.
ZeroPageDetection zero_page_place(const SourceContext& context, bool multifd) noexcept;

/// One thread (mig/src/main).
class Precopy {
 public:
  /// `multifd`: the channels that carry the pages, nullptr where the main one does.
  Precopy(SourceContext& context, SourceLink& link, const GuestMemory& memory, const PageOps& ops,
          MultifdSource* multifd) noexcept;
  /// Stops the tracker.
  ~Precopy();

  /// Starts tracking, sends the block list and the ranges that were never touched.
  Result<void> set_up() noexcept;
  /// Passes over RAM until the switchover is due.
  Result<void> iterate() noexcept;
  /// With the guest stopped: the last harvest.
  Result<void> final_sync() noexcept;
  /// With the guest stopped: what is left, as the END section.
  Result<void> send_rest() noexcept;

  const SwitchoverDecision& decision() const noexcept { return decision_; }

 private:
  Result<void> start_tracking() noexcept;
  Result<void> find_holes() noexcept;
  Result<void> send_holes() noexcept;
  Result<void> send_hole_runs() noexcept;
  Result<void> sync() noexcept;
  Result<void> send_part() noexcept;
  Result<void> sync_channels() noexcept;
  Result<void> begin_round() noexcept;
  Result<void> end_section() noexcept;
  uint64_t bytes_put() const noexcept;
  Result<void> wait_for_rate() noexcept;
  SwitchoverInput input(bool just_synced) const noexcept;
  void account() noexcept;

  SourceContext& context_;
  SourceLink& link_;
  const GuestMemory& memory_;
  MultifdSource* const multifd_;
  const bool sync_per_section_;
  RamSender sender_;
  transport::Limiter limiter_;
  BandwidthEstimator bandwidth_;
  SwitchoverDecision decision_;
  bool tracking_ = false;
  bool limited_ = true;
  bool round_begins_ = false;  // there was a harvest: a page may be sent again from here on
  DirtyBitmap holes_;
  uint64_t pending_at_sync_ = 0;
  uint64_t pending_at_sync_before_ = 0;
  uint32_t passes_for_less_ = 0;
  Nanoseconds last_sync_{0};
  Nanoseconds last_rate_{0};
  uint64_t period_dirty_pages_ = 0;
  uint64_t offset_accounted_ = 0;
  uint64_t charged_ = 0;
};

}  // namespace tern
