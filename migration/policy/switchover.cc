// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/switchover.h"

#include <algorithm>

namespace tern {
namespace {

constexpr uint64_t kSmallMs = 2;            // less than this to send is not worth another pass
constexpr uint32_t kMaxPassesForLess = 10;  // each halves it at least: ten make a thousandth

__extension__ using Wide = unsigned __int128;

// bandwidth * ms / 1000 without overflow: a downtime limit of 2000 s times 2^64-1 B/s does not fit.
uint64_t bytes_in(uint64_t bytes_per_s, uint64_t ms) noexcept {
  const auto product = static_cast<Wide>(bytes_per_s) * ms / 1000;
  return product > UINT64_MAX ? UINT64_MAX : static_cast<uint64_t>(product);
}

uint64_t time_for(uint64_t bytes, uint64_t bytes_per_s) noexcept {
  if (bytes == 0) return 0;
  if (bytes_per_s == 0) return INT64_MAX;
  const auto ms = static_cast<Wide>(bytes) * 1000 / bytes_per_s;
  return ms > INT64_MAX ? INT64_MAX : static_cast<uint64_t>(ms);
}

}  // namespace

SwitchoverVerdict decide_switchover(const SwitchoverInput& in) noexcept {
  SwitchoverVerdict v;
  v.threshold_bytes = bytes_in(in.bandwidth, in.downtime_limit_ms);
  v.expected_downtime_ms =
      time_for(std::max(in.pending_bytes, in.pending_at_last_sync), in.bandwidth);
  if (!in.just_synced) {
    if (in.pending_bytes == 0) v.action = SwitchoverAction::sync;
    return v;
  }
  if (in.pending_bytes > v.threshold_bytes || !in.may_switch) return v;
  const bool shrinking = in.pending_bytes < in.pending_at_sync_before / 2;
  const bool worth_it = in.pending_bytes > bytes_in(in.bandwidth, kSmallMs);
  if (shrinking && worth_it && in.passes_for_less < kMaxPassesForLess) {
    v.pass_for_less = true;
    return v;
  }
  v.action = SwitchoverAction::switch_over;
  return v;
}

}  // namespace tern
