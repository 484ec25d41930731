// SPDX-License-Identifier: Apache-2.0
#include "migration/dirty/dirty_rate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "migration/source/start_thread.h"
#include "ram/dirty/block_checks.h"
#include "ram/measure/look_plan.h"
#include "ram/measure/page_hash.h"
#include "ram/measure/page_sample.h"

namespace tern {
namespace {

/// Smaller blocks are not sampled: firmware and tables, which are seldom written.
constexpr uint64_t kSmallestSampled = 128 << 10;
/// Who starts a measurement right after the last waits so long for its tracker.
constexpr Milliseconds kSwitchOffTime{1000};
constexpr std::array<std::string_view, 3> kModes = {"page-sampling", "dirty-ring", "dirty-bitmap"};

double seconds(Nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

double rate_of(uint64_t pages, Nanoseconds time) noexcept {
  return static_cast<double>(pages * kTargetPageBytes) / std::max(seconds(time), 1e-9);
}

std::vector<RamBlock> sampled(const std::vector<RamBlock>& blocks) {
  std::vector<RamBlock> large;
  std::ranges::copy_if(blocks, std::back_inserter(large),
                       [](const RamBlock& block) { return block.used_bytes >= kSmallestSampled; });
  return large;
}

/// Guest memory of this process. Pages that were never touched are not touched by looking: they are
/// zeros.
class GuestLooker final : public PageLooker {
 public:
  explicit GuestLooker(std::span<const RamBlock> blocks) noexcept
      : blocks_(blocks), populated_(blocks) {
    alignas(64) constexpr std::array<std::byte, kTargetPageBytes> zeros{};
    zero_hash_ = hash_page(zeros.data());
  }
  /// Looks anew which pages were touched; those that were stay so.
  Result<void> refresh() noexcept {
    (void)TERN_TRY(find_populated(blocks_, populated_));
    return {};
  }
  Result<void> look(size_t block, std::span<const uint64_t> pages,
                    std::span<PageLook> looks) noexcept override {
    for (size_t i = 0; i < pages.size(); ++i) {
      const bool touched = populated_.block(block).test(pages[i]);
      const std::byte* at = blocks_[block].host + pages[i] * kTargetPageBytes;
      looks[i] = {touched ? hash_page(at) : zero_hash_, true};
    }
    return {};
  }

 private:
  const std::span<const RamBlock> blocks_;
  DirtyBitmap populated_;
  uint64_t zero_hash_;
};

}  // namespace

std::string_view to_string(DirtyRateMode mode) noexcept {
  return kModes[static_cast<size_t>(mode)];
}

Result<std::unique_ptr<DirtyRateMeter>> DirtyRateMeter::create(const Machine& machine) noexcept {
  TERN_TRY(check_blocks(machine.ram).context("dirty rate"));
  return std::unique_ptr<DirtyRateMeter>(std::make_unique<RateMeter>(machine));
}

RateMeter::RateMeter(const Machine& machine) noexcept
    : blocks_(machine.ram.begin(), machine.ram.end()),
      clock_(machine.clock != nullptr ? *machine.clock : system_clock()),
      log_(machine.log != nullptr ? *machine.log : null_log()),
      harvester_(machine.harvester) {
  if (harvester_ != nullptr || machine.tracker == nullptr) return;
  own_harvester_ = DirtyHarvester::create(*machine.tracker, log_);
  harvester_ = own_harvester_.get();
}

RateMeter::~RateMeter() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<void> RateMeter::check_mode(DirtyRateMode mode) const noexcept {
  const std::string name(to_string(mode));
  if (mode == DirtyRateMode::page_sampling) return {};
  if (harvester_ == nullptr) {
    return Error(ErrorCode::unsupported, "mode " + name + ": this machine has no dirty tracker");
  }
  const std::string tracker(harvester_->tracker_name());
  if (mode == DirtyRateMode::dirty_ring && !harvester_->counts_vcpus()) {
    return Error(ErrorCode::unsupported,
                 "mode " + name + ": the tracker " + tracker + " does not tell which vCPU wrote");
  }
  if (mode == DirtyRateMode::dirty_bitmap && tracker == "kvm-ring") {
    return Error(ErrorCode::unsupported, "mode " + name + ": the tracker is " + tracker);
  }
  return {};
}

Result<void> RateMeter::start(const DirtyRateRequest& request) noexcept {
  const std::lock_guard one(start_mutex_);
  if (report().status == DirtyRateReport::Status::measuring) {
    return Error(ErrorCode::failed_precondition, "the dirty rate is already being measured");
  }
  if (!wait_idle(kSwitchOffTime)) {
    return Error(ErrorCode::failed_precondition,
                 "the tracker of the last dirty rate is still being switched off");
  }
  if (request.window < DirtyRateRequest::kMinWindow ||
      request.window > DirtyRateRequest::kMaxWindow) {
    return Error(ErrorCode::invalid_argument,
                 "a dirty rate is measured for 50 to 60000 ms, not for " +
                     std::to_string(request.window.count()));
  }
  const bool sampling = request.mode == DirtyRateMode::page_sampling;
  if (sampling && (request.samples_per_gib < DirtyRateRequest::kMinSamples ||
                   request.samples_per_gib > DirtyRateRequest::kMaxSamples)) {
    return Error(ErrorCode::invalid_argument, "128 to 16384 pages per GiB are sampled, not " +
                                                  std::to_string(request.samples_per_gib));
  }
  TERN_TRY(check_mode(request.mode));
  if (thread_.joinable()) thread_.join();  // it has ended
  DirtyRateReport before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(report_, {});
    report_.status = DirtyRateReport::Status::measuring;
    report_.mode = request.mode;
    report_.samples_per_gib = sampling ? request.samples_per_gib : 0;
    report_.start = clock_.wall();
    report_.window = request.window;
    busy_ = true;
  }
  auto thread = start_thread<std::jthread>(
      [this, request](const std::stop_token& stop) { run(request, stop); });
  if (thread) {
    thread_ = std::move(*thread);
    return {};
  }
  const std::lock_guard lock(mutex_);
  report_ = std::move(before);
  busy_ = false;
  return std::move(thread).error();
}

DirtyRateReport RateMeter::report() const noexcept {
  const std::lock_guard lock(mutex_);
  return report_;
}

bool RateMeter::wait_idle(Nanoseconds at_most) const noexcept {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, at_most, [this] { return !busy_; });
}

void RateMeter::wait() const noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !busy_; });
}

void RateMeter::run(const DirtyRateRequest& request, const std::stop_token& stop) noexcept {
  const auto listed = threads_.enter("", "mig/dirty-rate");
  DirtyRateReport result = report();
  // Stopped when the result is out: switching a tracker off may take a busy kernel seconds.
  std::unique_ptr<DirtyConsumer> view;
  if (request.mode != DirtyRateMode::page_sampling) view = harvester_->consumer();
  Result<void> measured =
      request.mode == DirtyRateMode::page_sampling ? sample(request, stop, result)
      : request.mode == DirtyRateMode::dirty_ring  ? count_by_vcpu(*view, request, stop, result)
                                                   : count_pages(*view, request, stop, result);
  if (!measured) {
    result.bytes_per_s.reset();
    result.error = measured.error().message();
    log_.log(LogLevel::warning, "dirty rate: " + result.error);
  }
  result.status = DirtyRateReport::Status::measured;
  {
    const std::lock_guard lock(mutex_);
    report_ = std::move(result);
    changed_.notify_all();
  }
  const auto stopped = view ? view->stop() : Result<void>();
  if (!stopped) log_.log(LogLevel::warning, "dirty rate: " + stopped.error().message());
  view.reset();  // nothing is touched any more when it is told that all is over
  const std::lock_guard lock(mutex_);
  busy_ = false;
  changed_.notify_all();
}

Result<void> RateMeter::sleep_until(Nanoseconds when, const std::stop_token& stop) noexcept {
  std::unique_lock lock(mutex_);
  for (Nanoseconds now = clock_.now(); now < when && !stop.stop_requested(); now = clock_.now()) {
    changed_.wait_for(lock, stop, when - now, [] { return false; });
  }
  if (!stop.stop_requested()) return {};
  return Error(ErrorCode::cancelled, "the measurement was ended");
}

Result<void> RateMeter::sample(const DirtyRateRequest& request, const std::stop_token& stop,
                               DirtyRateReport& into) noexcept {
  const std::vector<RamBlock> blocks = sampled(blocks_);
  std::vector<uint64_t> pages;
  for (const RamBlock& block : blocks) pages.push_back(block.used_bytes / kTargetPageBytes);
  uint64_t all = 0;
  for (const uint64_t count : pages) all += count;
  const uint64_t count = PageSample::count_per_gib(all, request.samples_per_gib);
  const Nanoseconds begun = clock_.now();
  if (count == 0) {
    TERN_TRY(sleep_until(begun + request.window, stop));
    into.window = clock_.now() - begun;
    return {};
  }
  const auto seed = static_cast<uint64_t>(begun.count());
  PageSample chosen = TERN_TRY(PageSample::choose(pages, count, seed));
  GuestLooker looker(blocks);
  TERN_TRY(looker.refresh());
  const Nanoseconds windows[] = {request.window};
  LookPlan plan(chosen.parts(), windows);
  bool second = false;
  for (;;) {
    const LookPlan::Step step = plan.next(clock_.now());
    if (step.kind == LookPlan::Step::Kind::done) break;
    if (step.kind == LookPlan::Step::Kind::wait) {
      TERN_TRY(sleep_until(step.until, stop));
      continue;
    }
    if (step.kind == LookPlan::Step::Kind::first) {
      TERN_TRY(chosen.remember_part(step.part, looker, clock_));
    } else {
      if (!std::exchange(second, true)) TERN_TRY(looker.refresh());
      TERN_TRY(chosen.compare_part(step.part, step.window, looker, clock_));
    }
    plan.did(step, clock_.now());
    if (stop.stop_requested()) return Error(ErrorCode::cancelled, "the measurement was ended");
  }
  const DirtyEstimate estimate = chosen.estimate(0);
  into.window = estimate.interval;
  into.bytes_per_s = estimate.pages_per_s.value * kTargetPageBytes;
  into.low = estimate.pages_per_s.low * kTargetPageBytes;
  into.high = estimate.pages_per_s.high * kTargetPageBytes;
  return {};
}

Result<void> RateMeter::count_pages(DirtyConsumer& view, const DirtyRateRequest& request,
                                    const std::stop_token& stop, DirtyRateReport& into) noexcept {
  DirtyBitmap pages(blocks_);
  TERN_TRY(view.start(blocks_));
  // Once and discarded: switching the tracker on takes its time in a large guest.
  const Nanoseconds begun = clock_.now();
  (void)TERN_TRY(view.harvest(pages));
  const Nanoseconds from = begun + (clock_.now() - begun) / 2;
  pages = DirtyBitmap(blocks_);
  TERN_TRY(sleep_until(from + request.window, stop));
  const Nanoseconds ended = clock_.now();
  (void)TERN_TRY(view.harvest(pages));
  into.window = ended + (clock_.now() - ended) / 2 - from;
  into.bytes_per_s = rate_of(pages.count(), into.window);
  for (size_t b = 0; b < pages.blocks(); ++b) {
    into.block_bytes_per_s.push_back(rate_of(pages.block(b).count(), into.window));
  }
  return {};
}

Result<void> RateMeter::count_by_vcpu(DirtyConsumer& view, const DirtyRateRequest& request,
                                      const std::stop_token& stop, DirtyRateReport& into) noexcept {
  DirtyBitmap pages(blocks_);
  TERN_TRY(view.start(blocks_));
  (void)TERN_TRY(view.harvest(pages));
  const std::vector<uint64_t> before = view.vcpu_dirty_pages();
  const Nanoseconds from = clock_.now();
  TERN_TRY(sleep_until(from + request.window, stop));
  (void)TERN_TRY(view.harvest(pages));  // what the rings hold is counted now
  const std::vector<uint64_t> after = view.vcpu_dirty_pages();
  into.window = clock_.now() - from;
  double all = 0;
  for (size_t vcpu = 0; vcpu < std::min(before.size(), after.size()); ++vcpu) {
    into.vcpu_bytes_per_s.push_back(rate_of(after[vcpu] - before[vcpu], into.window));
    all += into.vcpu_bytes_per_s.back();
  }
  into.bytes_per_s = all;
  return {};
}

}  // namespace tern
