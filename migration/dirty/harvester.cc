// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/harvester.h"

#include <algorithm>
#include <utility>

#include "migration/source/start_thread.h"
#include "ram/dirty/block_checks.h"

namespace tern {
namespace {

constexpr std::string_view kThreadName = "mig/dirty";

void clear(DirtyBitmap& map) noexcept {
  for (size_t b = 0; b < map.blocks(); ++b) map.block(b).clear_run({0, map.block(b).pages()});
}

uint64_t or_into(DirtyBitmap& into, const DirtyBitmap& from) noexcept {
  uint64_t added = 0;
  for (size_t b = 0; b < from.blocks(); ++b) added += into.block(b).or_map(from.block(b));
  return added;
}

}  // namespace

class Harvester::View final : public DirtyConsumer {
 public:
  explicit View(Harvester& harvester) noexcept : harvester_(harvester) {}
  ~View() override { stop().ignore("nothing depends on it any more"); }

  std::string_view name() const noexcept override { return harvester_.tracker_.name(); }
  Result<void> start(std::span<const RamBlock> blocks) noexcept override {
    return harvester_.start(share_, blocks);
  }
  Result<uint64_t> harvest(DirtyBitmap& into) noexcept override {
    return harvester_.harvest(share_, into);
  }
  Result<void> stop() noexcept override { return harvester_.stop(share_); }
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept override {
    harvester_.tracker_.mark(block, offset, bytes);
  }
  std::vector<uint64_t> vcpu_dirty_pages() const noexcept override {
    return harvester_.vcpu_pages(share_);
  }
  bool counts_vcpus() const noexcept override { return harvester_.counts_vcpus(); }
  void set_vcpu_threads(std::span<const int> thread_ids) noexcept override {
    harvester_.tracker_.set_vcpu_threads(thread_ids);
  }
  std::vector<uint64_t> block_dirty_pages() const noexcept override {
    const MutexLock lock(share_.counts_mutex);
    return share_.block_pages;
  }
  void on_failure(std::function<void(const Error&)> told) noexcept override {
    share_.told = std::move(told);
  }

 private:
  Harvester& harvester_;
  Share share_;
};

std::unique_ptr<DirtyHarvester> DirtyHarvester::create(DirtyTracker& tracker, LogSink& log,
                                                       std::string thread_prefix) noexcept {
  return std::make_unique<Harvester>(tracker, log, std::move(thread_prefix));
}

Harvester::Harvester(DirtyTracker& tracker, LogSink& log, std::string thread_prefix) noexcept
    : tracker_(tracker), log_(log), thread_prefix_(std::move(thread_prefix)) {}

Harvester::~Harvester() = default;

std::unique_ptr<DirtyConsumer> Harvester::consumer() noexcept {
  return std::make_unique<View>(*this);
}

Result<void> Harvester::start(Share& share, std::span<const RamBlock> blocks) noexcept {
  std::optional<Error> failed;
  {
    const MutexLock lock(mutex_);
    while (ending_) settled_.wait(mutex_);
    Result<void> begun = begin(share, blocks);
    if (begun || !ending_) return begun;
    failed = std::move(begun).error();
  }
  end_service();
  return std::move(*failed);
}

Result<void> Harvester::begin(Share& share, std::span<const RamBlock> blocks) noexcept {
  if (share.started) {
    return Error(ErrorCode::failed_precondition, "dirty tracking: already started");
  }
  if (failure_) return Error(*failure_).context("dirty tracking has failed");
  if (started_.empty()) {
    Result<void> begun = start_tracker(blocks);
    ending_ = !begun;
    if (ending_) return begun;
  } else {
    TERN_TRY(check_same(blocks));
    TERN_TRY(gather(nullptr));
  }
  share.started = true;
  share.pending = {};
  started_.push_back(&share);
  begin_counting(share);
  return {};
}

Result<void> Harvester::start_tracker(std::span<const RamBlock> blocks) noexcept {
  // A copy: the one who starts it may be gone before the one who stops it.
  blocks_.assign(blocks.begin(), blocks.end());
  if (tracker_.needs_service()) {
    service_ =
        TERN_TRY(start_thread<std::jthread>([this](const std::stop_token& stop) { serve(stop); }));
  }
  TERN_TRY(tracker_.start(blocks_));
  fresh_ = DirtyBitmap(blocks_);
  return {};
}

Result<void> Harvester::check_same(std::span<const RamBlock> blocks) const noexcept {
  const auto same = [](const RamBlock& a, const RamBlock& b) {
    return a.host == b.host && a.used_bytes == b.used_bytes;
  };
  if (std::ranges::equal(blocks, blocks_, same)) return {};
  return Error(ErrorCode::invalid_argument,
               "dirty tracking: these are not the RAM blocks that are tracked already");
}

void Harvester::begin_counting(Share& share) noexcept {
  const MutexLock lock(share.counts_mutex);
  share.block_pages.assign(blocks_.size(), 0);
  share.vcpu_base = tracker_.vcpu_dirty_pages();
  share.counting = true;
}

// Into fresh_, into everybody's counts, and into what the others have not fetched.
Result<void> Harvester::gather(const Share* taker) noexcept {
  clear(fresh_);
  Result<uint64_t> got = tracker_.harvest(fresh_);
  if (!got) {
    fail(got.error(), taker);
    return std::move(got).error();
  }
  for (Share* share : started_) {
    {
      const MutexLock lock(share->counts_mutex);
      for (size_t b = 0; b < blocks_.size(); ++b) {
        share->block_pages[b] += fresh_.block(b).count();
      }
    }
    if (share == taker || *got == 0) continue;
    if (share->pending.blocks() == 0) share->pending = DirtyBitmap(blocks_);
    or_into(share->pending, fresh_);
  }
  return {};
}

Result<uint64_t> Harvester::harvest(Share& share, DirtyBitmap& into) noexcept {
  const MutexLock lock(mutex_);
  if (!share.started) {
    return Error(ErrorCode::failed_precondition, "dirty tracking: not started");
  }
  if (failure_) return Error(*failure_);
  TERN_TRY(check_shape(blocks_, into).context("dirty tracking"));
  TERN_TRY(gather(&share));
  const uint64_t added = or_into(into, fresh_) + or_into(into, share.pending);
  clear(share.pending);
  return added;
}

Result<void> Harvester::stop(Share& share) noexcept {
  std::optional<Error> failed;
  {
    const MutexLock lock(mutex_);
    if (!share.started) return {};
    share.started = false;
    share.pending = {};
    std::erase(started_, &share);
    {
      const MutexLock counts(share.counts_mutex);
      share.counting = false;
      share.block_pages.clear();
    }
    if (!started_.empty()) return {};
    Result<void> stopped = tracker_.stop();
    if (!stopped) failed = std::move(stopped).error();
    ending_ = true;
  }
  end_service();
  if (failed) return std::move(*failed);
  return {};
}

// After the tracker: what waits for its service was let go by stop().
void Harvester::end_service() noexcept {
  if (service_.joinable()) {
    service_.request_stop();
    service_.join();
  }
  const MutexLock lock(mutex_);
  blocks_.clear();
  fresh_ = {};
  failure_.reset();
  ending_ = false;
  settled_.notify_all();
}

void Harvester::serve(const std::stop_token& stop) noexcept {
  const auto listed = threads_.enter(thread_prefix_, kThreadName);
  const auto served = tracker_.run_service(stop);
  if (served) return;
  log_.log(LogLevel::error, "dirty tracker: " + served.error().message());
  const MutexLock lock(mutex_);
  if (!started_.empty() && !failure_) fail(served.error(), nullptr);
}

// Writers may hang on faults that nobody serves: tracking ends at once, not when the last consumer
// notices.
void Harvester::fail(const Error& error, const Share* knows) noexcept {
  failure_ = error;
  tracker_.stop().ignore("the error that matters is the one that made us stop");
  for (const Share* share : started_) {
    if (share != knows && share->told) share->told(error);
  }
}

std::vector<uint64_t> Harvester::vcpu_pages(const Share& share) const noexcept {
  const MutexLock lock(share.counts_mutex);
  if (!share.counting) return {};
  std::vector<uint64_t> pages = tracker_.vcpu_dirty_pages();
  for (size_t i = 0; i < std::min(pages.size(), share.vcpu_base.size()); ++i) {
    pages[i] -= std::min(pages[i], share.vcpu_base[i]);
  }
  return pages;
}

}  // namespace tern
