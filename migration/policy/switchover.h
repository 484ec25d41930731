// SPDX-License-Identifier: Apache-2.0
//
// When to sync and when to stop the guest: a pure function of what is known.
//
// QEMU 10.2 syncs as soon as what it knows to be dirty is below the threshold, and stops the guest
// if the sync finds no more than that. Here the guest stops for less time: a pass is always sent to
// its end before the sync, and when the sync finds little enough, but much less than the one
// before, another pass is tried, because the next sync will find less still. A guest that does not
// shrink its dirty set any more is stopped as QEMU would. It is never stopped without a sync that
// found the dirty set small (QEMU does with a threshold of 0).
#pragma once

#include <cstdint>

namespace tern {

struct SwitchoverInput {
  uint64_t pending_bytes = 0;           ///< known dirty now
  uint64_t pending_at_last_sync = 0;    ///< known dirty right after the last sync
  uint64_t pending_at_sync_before = 0;  ///< and after the one before that
  uint32_t passes_for_less = 0;         ///< passes made although the switchover was possible
  uint64_t bandwidth = 0;               ///< bytes/s, 0: not known
  uint64_t downtime_limit_ms = 300;
  bool may_switch = true;    ///< switchover-ack arrived or is not wanted
  bool just_synced = false;  ///< pending is exact
};

enum class SwitchoverAction { send, sync, switch_over };

struct SwitchoverVerdict {
  SwitchoverAction action = SwitchoverAction::send;
  bool pass_for_less = false;  ///< could stop now, but the next sync will find much less
  uint64_t threshold_bytes = 0;
  uint64_t expected_downtime_ms =
      0;  ///< to send what was dirty at the last sync; INT64_MAX without a bandwidth
};

SwitchoverVerdict decide_switchover(const SwitchoverInput& in) noexcept;

}  // namespace tern
