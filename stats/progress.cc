// SPDX-License-Identifier: Apache-2.0
#include "stats/progress.h"

#include <algorithm>
#include <utility>

#include "base/per_second.h"

namespace tern {
namespace {

constexpr Nanoseconds kWindow = Milliseconds(100);

Milliseconds in_ms(Nanoseconds t) noexcept { return std::chrono::duration_cast<Milliseconds>(t); }

double megabits_per_s(uint64_t bytes, Nanoseconds t) noexcept {
  return t.count() > 0 ? static_cast<double>(bytes) * 8e3 / static_cast<double>(t.count()) : 0;
}

uint64_t percent_ms(uint32_t percent, Nanoseconds time) noexcept {
  return percent * static_cast<uint64_t>(in_ms(time).count());
}

// 0 where there is nothing to divide by.
double ratio(uint64_t a, uint64_t b) noexcept {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

std::string_view to_string(Ending ending) noexcept {
  switch (ending) {
    case Ending::none:
      return "none";
    case Ending::handed_over:
      return "handed-over";
    case Ending::kept:
      return "kept";
    case Ending::unknown:
      return "unknown";
    case Ending::taken:
      return "taken";
    case Ending::not_taken:
      return "not-taken";
  }
  return "none";
}

void Progress::set_channels(size_t count) noexcept {
  const MutexLock lock(mutex_);
  channels_ = std::make_unique<ChannelCounters[]>(count);
  channel_peers_.resize(count);
  channel_count_.store(count, std::memory_order_release);
}

void Progress::set_channel_peer(size_t channel, std::string peer) noexcept {
  const MutexLock lock(mutex_);
  if (channel < channel_peers_.size()) channel_peers_[channel] = std::move(peer);
}

uint64_t Progress::multifd_bytes() const noexcept {
  uint64_t sum = 0;
  const size_t count = channel_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) sum += channels_[i].bytes.get();
  return sum;
}

uint64_t Progress::normal_pages() const noexcept {
  uint64_t sum = ram.normal.get();
  const size_t count = channel_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) sum += channels_[i].normal.get();
  return sum;
}

uint64_t Progress::pages() const noexcept {
  uint64_t sum = normal_pages() + ram.duplicate.get() + ram.patched.get() + ram.compressed.get();
  const size_t count = channel_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) sum += channels_[i].zero.get();
  return sum;
}

uint64_t Progress::zero_pages() const noexcept {
  uint64_t sum = ram.duplicate.get();
  const size_t count = channel_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) sum += channels_[i].zero.get();
  return sum;
}

void Progress::show_xbzrle() noexcept {
  const MutexLock lock(mutex_);
  base_.xbzrle.emplace();
}

void Progress::show_compression() noexcept {
  const MutexLock lock(mutex_);
  base_.compression.emplace();
}

void Progress::update_rates() noexcept {
  const MutexLock lock(mutex_);
  const RateWindow now{pages(),
                       xbzrle.pages.get(),
                       xbzrle.bytes.get(),
                       xbzrle.cache_miss.get(),
                       ram.compressed.get(),
                       compress.bytes.get(),
                       compress.busy.get()};
  if (base_.xbzrle) {
    base_.xbzrle->cache_miss_rate =
        ratio(now.cache_miss - rates_.cache_miss, now.all_pages - rates_.all_pages);
    base_.xbzrle->encoding_rate = ratio((now.xbzrle_pages - rates_.xbzrle_pages) * base_.page_size,
                                        now.xbzrle_bytes - rates_.xbzrle_bytes);
  }
  // Without a page the rates stand.
  if (const uint64_t more = now.compressed - rates_.compressed; base_.compression && more != 0) {
    base_.compression->busy_rate = ratio(now.busy - rates_.busy, more);
    base_.compression->compression_rate =
        ratio(more * base_.page_size, now.compressed_bytes - rates_.compressed_bytes);
  }
  rates_ = now;
}

void Progress::begin() noexcept {
  const MutexLock lock(mutex_);
  began_ = clock_.now();
  window_start_ = *began_;
}

void Progress::setup_done() noexcept {
  const MutexLock lock(mutex_);
  if (began_) base_.setup_time = in_ms(clock_.now() - *began_);
  setup_over_ = true;
}

void Progress::end() noexcept {
  const MutexLock lock(mutex_);
  if (ended_ || !began_) return;
  ended_ = clock_.now();
  const Nanoseconds moving = (*ended_ - *began_) - base_.setup_time;
  if (moving.count() > 0) base_.mbps = megabits_per_s(transferred.get() + multifd_bytes(), moving);
}

void Progress::set_downtime(const DowntimePhases& phases, bool over) noexcept {
  const MutexLock lock(mutex_);
  base_.downtime_phases = phases;
  if (over) base_.downtime = in_ms(phases.total());
}

void Progress::set_decision(const SwitchoverDecision& decision) noexcept {
  const MutexLock lock(mutex_);
  base_.switchover = decision;
}

void Progress::set_expected_downtime(std::optional<Milliseconds> expected) noexcept {
  const MutexLock lock(mutex_);
  base_.expected_downtime = expected;
}

void Progress::set_ending(Ending ending) noexcept {
  const MutexLock lock(mutex_);
  base_.ending = ending;
}

void Progress::set_choice(Choice which, std::string value) noexcept {
  const MutexLock lock(mutex_);
  switch (which) {
    case Choice::tracker:
      base_.tracker = std::move(value);
      break;
    case Choice::hole_finder:
      base_.hole_finder = std::move(value);
      break;
    case Choice::page_ops:
      base_.page_ops = std::move(value);
      break;
    case Choice::peer:
      base_.peer = std::move(value);
      break;
    case Choice::transport:
      base_.transport = std::move(value);
      break;
  }
}

void Progress::set_throttle(uint32_t percent) noexcept {
  const MutexLock lock(mutex_);
  set_throttle_locked(percent);
}

void Progress::set_dirty_limit(std::optional<DirtyLimitFigures> figures) noexcept {
  const MutexLock lock(mutex_);
  base_.throttle.dirty_limit = figures;
  set_throttle_locked(figures ? figures->held_percent : 0);
}

void Progress::set_throttle_locked(uint32_t percent) noexcept {
  ThrottleStats& t = base_.throttle;
  if (percent == t.percent) return;
  const Nanoseconds now = clock_.now();
  t.percent_ms += percent_ms_since(now);
  throttled_since_ = now;
  t.percent = percent;
  t.highest_percent = std::max(t.highest_percent, percent);
  // It grows a percent at a time at least; more steps than this there are only if somebody keeps
  // changing its parameters.
  constexpr size_t kMaxSteps = 1000;
  if (t.course.size() < kMaxSteps) t.course.push_back({in_ms(now - began_.value_or(now)), percent});
}

uint64_t Progress::percent_ms_since(Nanoseconds now) const noexcept {
  return guest_runs_ ? percent_ms(base_.throttle.percent, now - throttled_since_) : 0;
}

void Progress::set_guest_runs(bool runs) noexcept {
  const MutexLock lock(mutex_);
  if (runs == guest_runs_) return;
  const Nanoseconds now = clock_.now();
  base_.throttle.percent_ms += percent_ms_since(now);
  throttled_since_ = now;
  guest_runs_ = runs;
}

void Progress::set_never_touched(uint64_t bytes) noexcept {
  const MutexLock lock(mutex_);
  base_.never_touched_bytes = bytes;
}

void Progress::tick() noexcept {
  const MutexLock lock(mutex_);
  const Nanoseconds now = clock_.now();
  const Nanoseconds dt = now - window_start_;
  if (dt < kWindow) return;
  const uint64_t bytes = transferred.get() + multifd_bytes();
  const uint64_t pages = this->pages();
  base_.mbps = megabits_per_s(bytes - window_bytes_, dt);
  base_.pages_per_second = per_second(pages - window_pages_, dt);
  window_start_ = now;
  window_bytes_ = bytes;
  window_pages_ = pages;
}

StatsSnapshot Progress::snapshot() const noexcept {
  const MutexLock lock(mutex_);
  StatsSnapshot s = base_;
  s.taken_at = clock_.now();
  s.throttle.percent_ms += percent_ms_since(s.taken_at);
  if (began_) s.total_time = in_ms((ended_ ? *ended_ : s.taken_at) - *began_);
  s.multifd_bytes = multifd_bytes();
  s.transferred = transferred.get() + s.multifd_bytes;
  s.remaining = remaining.get();
  s.total = total.get();
  s.normal = normal_pages();
  s.duplicate = zero_pages();
  s.normal_bytes = s.normal * s.page_size;
  s.dirty_pages_rate = dirty_pages_rate.get();
  s.dirty_sync_count = dirty_sync_count.get();
  s.precopy_bytes = precopy_bytes.get();
  s.downtime_bytes = downtime_bytes.get();
  if (s.xbzrle) {
    s.xbzrle->cache_size = xbzrle.cache_size.get();
    s.xbzrle->bytes = xbzrle.bytes.get();
    s.xbzrle->pages = xbzrle.pages.get();
    s.xbzrle->cache_miss = xbzrle.cache_miss.get();
    s.xbzrle->overflow = xbzrle.overflow.get();
  }
  if (s.compression) {
    s.compression->pages = ram.compressed.get();
    s.compression->busy = compress.busy.get();
    s.compression->compressed_size = compress.bytes.get();
  }
  for (size_t i = 0; i < channel_peers_.size(); ++i) {
    const ChannelCounters& c = channels_[i];
    s.dirty_sync_missed_zero_copy += c.missed_zero_copy.get();
    s.channels.push_back({static_cast<uint32_t>(i), channel_peers_[i], c.bytes.get(),
                          c.packets.get(), c.syncs.get(), c.normal.get(), c.zero.get(),
                          c.compressed.get()});
  }
  return s;
}

}  // namespace tern
