// SPDX-License-Identifier: Apache-2.0
//
// When to look for dirty pages and when to stop the guest: pure functions of what is known.
//
// A look is a harvest of the tracker: only right after one is it known what is dirty. QEMU 10.2
// looks as soon as what it knows to be dirty is below the threshold, and stops the guest if the
// look finds no more than that. tern takes the best moment it can foresee, not the next one:
//
//  - It looks every second also in the middle of a pass over RAM, so it has a dirty rate, knows
//    what a look would find, and looks again when that fits into the downtime limit. A guest whose
//    dirty set falls for a moment and rises again is caught in that moment, wherever in a pass it
//    comes.
//  - When the guest could be stopped, but what is still unsent and the dirty rate say that the rest
//    will be less than half of it once that is sent, it goes on. If the rate is such that the rest
//    does not shrink any more, or grows, the guest is stopped now.
//  - The downtime limit is a budget for everything that has been measured, the last look included,
//    not for the transfer alone.
//  - It is never stopped without a look that found the dirty set small (QEMU 7.2 does so with a
//    threshold of 0).
//
// QEMU's own rules are here, too, for comparison: x-switchover-policy.
#pragma once

#include <cstdint>

#include "tern/clock.h"
#include "tern/settings.h"

namespace tern {

struct SwitchoverInput {
  uint64_t pending_bytes = 0;                    ///< known dirty now
  uint64_t unsent_bytes = 0;                     ///< of these, still to be sent in this pass
  uint64_t dirty_rate = 0;                       ///< bytes/s that become dirty, recently
  Nanoseconds since_look{0};                     ///< age of the last look
  Nanoseconds look_time{0};                      ///< how long it took
  Nanoseconds look_period = Milliseconds(1000);  ///< how often to look in a pass
  uint32_t passes_for_less = 0;  ///< passes made although the switchover was possible
  uint64_t bandwidth = 0;        ///< bytes/s, 0: not known
  uint64_t downtime_limit_ms = 300;
  bool may_switch = true;    ///< switchover-ack arrived or is not wanted
  bool just_looked = false;  ///< pending is exact
  bool fitted = false;       ///< the last look found little enough, but sending on seemed better
  bool can_look = true;      ///< the guest runs and something tracks it
};

enum class SwitchoverAction { send, look, switch_over };

struct SwitchoverVerdict {
  SwitchoverAction action = SwitchoverAction::send;
  bool pass_for_less = false;         ///< could stop now, but the rest will be much less soon
  uint64_t threshold_bytes = 0;       ///< what fits into the downtime limit
  uint64_t overhead_ms = 0;           ///< of the limit, what is not for sending
  uint64_t expected_downtime_ms = 0;  ///< were it stopped now; INT64_MAX without a bandwidth
};

/// What a look found about when pages are written again. Pages that the last look found, too, are
/// hot; the others of the dirty ones are cold.
struct LookedPages {
  uint64_t dirty = 0;      ///< all that are dirty now
  uint64_t hot = 0;        ///< of the last look
  uint64_t found = 0;      ///< of this look
  uint64_t hot_again = 0;  ///< of both
};
/// Whether pages that were written just now are better left to the next pass: only if such pages
/// are written again sooner than others. A guest that goes through its memory in order is the
/// opposite: what it wrote last it will write again last.
bool postpone_found(const LookedPages& pages) noexcept;

/// tern's rules.
SwitchoverVerdict decide_switchover(const SwitchoverInput& in) noexcept;

/// Those of a QEMU. `bandwidth` is that of WindowBandwidth. A look there begins a new pass.
SwitchoverVerdict decide_as_qemu(const SwitchoverInput& in, SwitchoverPolicy version) noexcept;

}  // namespace tern
