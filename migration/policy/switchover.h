// SPDX-License-Identifier: Apache-2.0
//
// When to sync and when to stop the guest: a pure function of what is known.
//
// Like QEMU 10.2 (estimate below the threshold, exact sync, stop if still below), with two differences: it never stops
// without a sync that found the dirty set small (QEMU does with a threshold of 0), and after a sync that found too much
// at least half of that is sent before the next, so that a fast guest does not cause a sync per page.
#pragma once

#include <cstdint>

namespace tern {

struct SwitchoverInput {
  uint64_t pending_bytes = 0;             ///< known dirty now
  uint64_t pending_at_last_sync = 0;      ///< known dirty right after the last sync
  uint64_t bandwidth = 0;                 ///< bytes/s, 0: not known
  uint64_t downtime_limit_ms = 300;
  bool may_switch = true;                 ///< switchover-ack arrived or is not wanted
  bool just_synced = false;               ///< pending is exact
};

enum class SwitchoverAction { send, sync, switch_over };

struct SwitchoverVerdict {
  SwitchoverAction action = SwitchoverAction::send;
  uint64_t threshold_bytes = 0;
  uint64_t expected_downtime_ms = 0;  ///< to send what was dirty at the last sync; INT64_MAX without a bandwidth
};

SwitchoverVerdict decide_switchover(const SwitchoverInput& in) noexcept;

}  // namespace tern
