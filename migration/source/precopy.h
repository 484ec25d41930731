// SPDX-License-Identifier: Apache-2.0
//
// Precopy: sends RAM in passes while the guest runs, until little enough is left. It owns the
// tracker's start and stop and the dirty bitmaps; when to look at the tracker and when to stop the
// guest is Convergence's word.
//
// There are two bitmaps: what is to be sent in this pass, and what is for the next one: what a look
// in the middle of a pass found dirty and the pass had sent already. What it found and the pass had
// not sent yet stays, or moves to the next one, too, where pages that were just written are soon
// written again (policy/switchover.h): such a page is sent when it has come to rest, or at the end.
#pragma once

#include <memory>

#include "migration/source/convergence.h"
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
  /// `multifd`: the channels that carry the pages, nullptr where the main one does. `packer`: the
  /// threads that compress them, nullptr where nobody does.
  Precopy(SourceContext& context, SourceLink& link, const GuestMemory& memory, const PageOps& ops,
          MultifdSource* multifd, PagePacker* packer, ThreadList& threads) noexcept;
  /// Stops the tracker and whatever holds the guest back.
  ~Precopy();

  /// Starts tracking, sends the block list and the ranges that were never touched.
  Result<void> set_up() noexcept;
  /// Passes over RAM until the switchover is due.
  Result<void> iterate() noexcept;
  /// With the guest stopped: the last harvest.
  Result<void> final_sync() noexcept;
  /// With the guest stopped: what is left, as the END section.
  Result<void> send_rest() noexcept;

  /// The guest gets all of its time back (after a failure, before it runs on). Idempotent.
  void release_guest() noexcept { convergence_.release_guest(); }

 private:
  Result<void> start_tracking() noexcept;
  Result<void> find_holes() noexcept;
  Result<void> set_up_xbzrle() noexcept;
  void follow_cache_size() noexcept;
  Result<void> send_holes() noexcept;
  Result<void> send_hole_runs() noexcept;
  uint64_t pending_bytes() const noexcept;
  Result<void> look() noexcept;
  Result<void> harvest() noexcept;
  void begin_pass() noexcept;
  Result<void> send_part() noexcept;
  Result<void> sync_channels() noexcept;
  Result<void> begin_round() noexcept;
  Result<void> end_section() noexcept;
  uint64_t bytes_put() const noexcept;
  Result<void> wait_for_rate() noexcept;
  void wait_until_drained(Nanoseconds at_most) noexcept;
  uint64_t queued() const noexcept;
  void account() noexcept;

  SourceContext& context_;
  SourceLink& link_;
  const GuestMemory& memory_;
  MultifdSource* const multifd_;
  const bool sync_per_section_;
  std::unique_ptr<XbzrleStage> xbzrle_;  // where the capability is on
  RamSender sender_;
  transport::Limiter limiter_;
  Convergence convergence_;
  DirtyBitmap next_;   // pages for the next pass; none of them is in sender_.dirty()
  DirtyBitmap found_;  // by the last look
  DirtyBitmap found_before_;
  SwitchoverDecision decision_;
  bool tracking_ = false;
  bool limited_ = true;
  bool round_begins_ = false;  // a pass begins: a page may be sent again from here on
  DirtyBitmap holes_;
  uint64_t pending_at_look_ = 0;
  uint64_t cache_size_tried_ = 0;
  uint64_t offset_accounted_ = 0;
  uint64_t charged_ = 0;
};

}  // namespace tern
