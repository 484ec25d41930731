// SPDX-License-Identifier: Apache-2.0
#include "migration/source/multifd_source.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "migration/source/start_thread.h"

namespace tern {
namespace {

// After our last byte a TLS channel is read until the peer closes, all channels together for this
// long: bytes of the peer's that nobody read would turn our close into a reset, and that may
// overtake what we sent.
constexpr Milliseconds kPartingTime{200};

void drain(Channel& channel, std::chrono::steady_clock::time_point until) noexcept {
  std::array<std::byte, 4096> sink;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    channel.set_read_deadline({"parting", left});
    const auto got = channel.read_some(sink);
    if (!got || *got == 0) return;
  }
}

Error ended() noexcept { return {ErrorCode::cancelled, "the migration's channels were shut down"}; }

}  // namespace

MultifdSource::MultifdSource(SourceContext& context, const GuestMemory& memory, ThreadList& threads,
                             std::function<void()> on_failure) noexcept
    : context_(context), memory_(memory), threads_(threads), on_failure_(std::move(on_failure)) {}

MultifdSource::~MultifdSource() {
  shut_down();
  end_threads();
}

Result<void> MultifdSource::add(Security::Secured connected) noexcept {
  Lane* lane = nullptr;
  std::string peer = connected.channel->describe();
  {
    const MutexLock lock(mutex_);
    TERN_TRY(check());
    lanes_.push_back(std::make_unique<Lane>(lanes_.size(), std::move(connected)));
    lane = lanes_.back().get();
    channels_ = lanes_.size();
  }
  context_.progress.set_channel_peer(lane->index, std::move(peer));
  lane->thread = TERN_TRY(start_thread([this, lane] {
    const auto listed = threads_.enter(context_.settings.thread_prefix,
                                       "mig/src/send_" + std::to_string(lane->index));
    const Result<void> served = serve(*lane);
    if (!served) fail(lane->index, served.error());
  }));
  return {};
}

Result<void> MultifdSource::serve(Lane& lane) noexcept {
  if (!TERN_TRY(lane.secured.handshake())) {
    return Error(ErrorCode::channel,
                 "TLS handshake failed: the destination closed the connection at once");
  }
  Channel& channel = *lane.secured.channel;
  channel.set_write_deadline(context_.deadline("x-stall-timeout", context_.settings.stall_timeout));
  auto sender = std::make_unique<MultifdSender>(
      memory_, channel, context_.progress.channel(lane.index), packets_, floor_ns_per_byte_,
      best_page_ops(), context_.clock);
  MultifdInitial initial;
  if (context_.machine.uuid) initial.uuid = *context_.machine.uuid;
  initial.id = static_cast<uint8_t>(lane.index);
  TERN_TRY(sender->send_initial(initial));
  {
    const MutexLock lock(mutex_);
    lane.sender = std::move(sender);
    lane.ready = true;
    changed_.notify_all();
  }
  return work(lane);
}

Result<void> MultifdSource::work(Lane& lane) noexcept {
  for (;;) {
    const Item* item = nullptr;
    {
      const MutexLock lock(mutex_);
      while (lane.count == 0 && !stopping_ && !shut_) lane.work.wait(mutex_);
      if (shut_) return ended();
      if (lane.count == 0) return {};
      item = &lane.queue[lane.first];
    }
    TERN_TRY(item->sync ? lane.sender->send_sync() : lane.sender->send(item->batch));
    const MutexLock lock(mutex_);
    lane.first = (lane.first + 1) % kQueue;
    --lane.count;
    // Not for every place in every queue: the scan is much quicker than the channels.
    if (main_waits_ && lane.count <= kQueue / 2) changed_.notify_all();
  }
}

void MultifdSource::fail(size_t index, const Error& error) noexcept {
  {
    const MutexLock lock(mutex_);
    // What breaks after a shutdown is its consequence.
    if (shut_) return;
    context_.channel_failure.set(Error(error).context("multifd channel " + std::to_string(index)));
  }
  shut_down();
  on_failure_();
}

void MultifdSource::shut_down() noexcept {
  const MutexLock lock(mutex_);
  if (shut_) return;
  shut_ = true;
  for (const auto& lane : lanes_) {
    lane->secured.channel->shutdown();
    lane->work.notify_all();
  }
  changed_.notify_all();
}

Result<void> MultifdSource::check() const noexcept {
  if (const auto failure = context_.channel_failure.get()) return *failure;
  if (shut_) return ended();
  return {};
}

void MultifdSource::wait() noexcept {
  main_waits_ = true;
  changed_.wait(mutex_);
  main_waits_ = false;
}

Result<void> MultifdSource::wait_ready() noexcept {
  const MutexLock lock(mutex_);
  const auto ready = [](const auto& lane) { return lane->ready; };
  for (;;) {
    TERN_TRY(check());
    if (std::all_of(lanes_.begin(), lanes_.end(), ready)) return {};
    wait();
  }
}

Result<void> MultifdSource::set_style(const MultifdStyle& style) noexcept {
  const MutexLock lock(mutex_);
  for (const auto& lane : lanes_) TERN_TRY(lane->sender->set_style(style));
  return {};
}

void MultifdSource::set_pace(uint64_t bytes_per_s, uint64_t chunk, uint64_t pending) noexcept {
  const double share =
      bytes_per_s == 0 ? 0.0
                       : 1e9 * static_cast<double>(channels_) / static_cast<double>(bytes_per_s);
  floor_ns_per_byte_.store(share, std::memory_order_relaxed);
  // Below this all channels should come to their end at about the same time.
  constexpr uint64_t kMuchPerChannel = 16u << 20;
  batch_limit_ = pending > kMuchPerChannel * channels_ ? PageBatch::kMaxPages : kMultifdPages;
  limited_ = bytes_per_s != 0;
  if (limited_) {
    batch_limit_ = std::clamp<size_t>(chunk / kTargetPageBytes / channels_, 1, kMultifdPages);
  }
}

uint64_t MultifdSource::queued() const noexcept {
  const MutexLock lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& lane : lanes_) {
    for (size_t i = 0; i < lane->count; ++i) {
      const Item& item = lane->queue[(lane->first + i) % kQueue];
      if (!item.sync) bytes += item.batch.count * kTargetPageBytes;
    }
    bytes += lane->secured.channel->queued();
  }
  return bytes;
}

Result<void> MultifdSource::take(size_t block, PageRun run) noexcept {
  if (batch_.block != block) TERN_TRY(flush());
  batch_.block = block;
  for (uint64_t i = 0; i < run.count; ++i) {
    batch_.pages[batch_.count++] = run.first + i;
    if (batch_.count >= batch_limit_) TERN_TRY(flush());
  }
  return {};
}

Result<void> MultifdSource::flush() noexcept {
  if (batch_.count == 0) return {};
  const MutexLock lock(mutex_);
  for (;;) {
    TERN_TRY(check());
    if (Lane* lane = freest_lane()) {
      append(*lane, false);
      batch_.count = 0;
      return {};
    }
    wait();
  }
}

// Round robin among those with the shortest queue, so that one that is idle is not left idle. Where
// the rate is limited it is what there is to share: then each in its turn, as long as it has room.
MultifdSource::Lane* MultifdSource::freest_lane() noexcept {
  Lane* best = nullptr;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    Lane* const lane = lanes_[(next_ + i) % lanes_.size()].get();
    if (lane->count < kQueue && (best == nullptr || lane->count < best->count)) best = lane;
    if (best != nullptr && (limited_ || best->count == 0)) break;
  }
  if (best != nullptr) next_ = best->index + 1;
  return best;
}

void MultifdSource::append(Lane& lane, bool sync) noexcept {
  Item& item = lane.queue[(lane.first + lane.count) % kQueue];
  item.sync = sync;
  if (!sync) item.batch = batch_;
  if (++lane.count == 1) lane.work.notify_all();
}

Result<void> MultifdSource::sync() noexcept {
  TERN_TRY(flush());
  const MutexLock lock(mutex_);
  for (const auto& lane : lanes_) {
    for (;;) {
      TERN_TRY(check());
      if (lane->count < kQueue) break;
      wait();
    }
    append(*lane, true);
  }
  const auto written = [](const auto& lane) { return lane->count == 0; };
  for (;;) {
    TERN_TRY(check());
    if (std::all_of(lanes_.begin(), lanes_.end(), written)) return {};
    wait();
  }
}

void MultifdSource::end_threads() noexcept {
  std::vector<Lane*> lanes;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& lane : lanes_) {
      lanes.push_back(lane.get());
      lane->work.notify_all();
    }
  }
  for (Lane* lane : lanes) {
    if (lane->thread.joinable()) lane->thread.join();
  }
}

void MultifdSource::close() noexcept {
  end_threads();
  const MutexLock lock(mutex_);
  if (shut_) return;
  // Every one before the first is waited for.
  for (const auto& lane : lanes_) lane->secured.channel->finish_writing();
  const auto until = std::chrono::steady_clock::now() + kPartingTime;
  for (const auto& lane : lanes_) {
    if (lane->secured.tls != nullptr) drain(*lane->secured.channel, until);
  }
}

}  // namespace tern
