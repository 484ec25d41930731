// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/switchover.h"

#include <algorithm>

namespace tern {
namespace {

constexpr uint64_t kSmallMs = 2;            // less than this to send is not worth another pass
constexpr uint32_t kMaxPassesForLess = 10;  // each halves it at least: ten make a thousandth
constexpr Nanoseconds kMinLookGap = Milliseconds(10);
// Every look costs the guest a fault for each page that it goes on writing: no haste where all goes
// well.
constexpr Nanoseconds kCalmLookGap = Milliseconds(100);
constexpr int kLookShare = 20;  // looking takes at most this part of the time

__extension__ using Wide = unsigned __int128;

uint64_t narrow(Wide value, uint64_t most) noexcept {
  return value > most ? most : static_cast<uint64_t>(value);
}

// bandwidth * ms / 1000 without overflow: a downtime limit of 2000 s times 2^64-1 B/s does not fit.
uint64_t bytes_in(uint64_t bytes_per_s, uint64_t ms) noexcept {
  return narrow(static_cast<Wide>(bytes_per_s) * ms / 1000, UINT64_MAX);
}

uint64_t bytes_in(uint64_t bytes_per_s, Nanoseconds time) noexcept {
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(time.count(), 0));
  return narrow(static_cast<Wide>(bytes_per_s) * ns / 1'000'000'000, UINT64_MAX);
}

uint64_t time_for(uint64_t bytes, uint64_t bytes_per_s) noexcept {
  if (bytes == 0) return 0;
  if (bytes_per_s == 0) return INT64_MAX;
  return narrow(static_cast<Wide>(bytes) * 1000 / bytes_per_s, INT64_MAX);
}

uint64_t saturating_add(uint64_t a, uint64_t b) noexcept {
  return narrow(static_cast<Wide>(a) + b, UINT64_MAX);
}

/// What will be dirty when the rest of this pass has been sent, as far as the present rate tells.
uint64_t after_this_pass(const SwitchoverInput& in) noexcept {
  const uint64_t later = in.pending_bytes - std::min(in.unsent_bytes, in.pending_bytes);
  if (in.unsent_bytes == 0) return later;
  if (in.bandwidth == 0) return in.pending_bytes;
  const Wide dirtied = static_cast<Wide>(in.dirty_rate) * in.unsent_bytes / in.bandwidth;
  return narrow(static_cast<Wide>(later) + dirtied, UINT64_MAX);
}

}  // namespace

bool postpone_found(const LookedPages& pages) noexcept {
  const uint64_t cold = pages.dirty - std::min(pages.hot, pages.dirty);
  const uint64_t cold_found = pages.found - std::min(pages.hot_again, pages.found);
  // hot_again of hot, or cold_found of cold: which is more?
  return static_cast<Wide>(pages.hot_again) * cold > static_cast<Wide>(cold_found) * pages.hot;
}

SwitchoverVerdict decide_switchover(const SwitchoverInput& in) noexcept {
  SwitchoverVerdict v;
  // The last look and stopping take time, too, but a limit below that is no reason to give up.
  const auto look_ms = static_cast<uint64_t>(
      std::chrono::ceil<Milliseconds>(std::max(in.look_time, Nanoseconds(0))).count());
  v.overhead_ms = std::min(look_ms, in.downtime_limit_ms / 2);
  v.threshold_bytes = bytes_in(in.bandwidth, in.downtime_limit_ms - v.overhead_ms);
  const uint64_t would_find =
      in.just_looked ? in.pending_bytes
                     : saturating_add(in.pending_bytes, bytes_in(in.dirty_rate, in.since_look));
  const uint64_t sending_ms = time_for(would_find, in.bandwidth);
  v.expected_downtime_ms = sending_ms == INT64_MAX ? sending_ms : sending_ms + look_ms;

  if (!in.just_looked) {
    const Nanoseconds look_gap = in.look_time * kLookShare;
    const bool due = in.since_look >= std::max(in.look_period, look_gap);
    const bool fits = in.may_switch && would_find <= v.threshold_bytes &&
                      in.since_look >= std::max(in.fitted ? kCalmLookGap : kMinLookGap, look_gap);
    if (in.unsent_bytes == 0 || (in.can_look && (due || fits))) v.action = SwitchoverAction::look;
    return v;
  }
  if (in.pending_bytes > v.threshold_bytes || !in.may_switch) return v;
  const bool worth_it = in.pending_bytes > bytes_in(in.bandwidth, kSmallMs);
  if (worth_it && after_this_pass(in) < in.pending_bytes / 2 &&
      in.passes_for_less < kMaxPassesForLess) {
    v.pass_for_less = true;
    return v;
  }
  v.action = SwitchoverAction::switch_over;
  return v;
}

SwitchoverVerdict decide_as_qemu(const SwitchoverInput& in, SwitchoverPolicy version) noexcept {
  SwitchoverVerdict v;
  v.threshold_bytes = bytes_in(in.bandwidth, in.downtime_limit_ms);
  v.expected_downtime_ms = time_for(in.pending_bytes, in.bandwidth);
  if (!in.just_looked && in.can_look && in.pending_bytes < v.threshold_bytes) {
    v.action = SwitchoverAction::look;
    return v;
  }
  if (!in.may_switch) return v;
  const bool fits = version == SwitchoverPolicy::qemu_7_2
                        ? in.pending_bytes == 0 || in.pending_bytes < v.threshold_bytes
                        : in.pending_bytes <= v.threshold_bytes;
  if (fits) v.action = SwitchoverAction::switch_over;
  return v;
}

}  // namespace tern
