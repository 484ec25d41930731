// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_measure.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "ram/measure/look_plan.h"
#include "ram/measure/page_sample.h"
#include "tern/ram_block.h"
#include "tools/common/progress.h"
#include "tools/tern/dirty_rate_soft_dirty.h"

namespace tern::tool {
namespace {

// Enough to tell one part in a hundred from nothing; read and hashed in some ten milliseconds.
constexpr uint64_t kPilotSamples = 16384;
constexpr Nanoseconds kPilotWindow = std::chrono::milliseconds(500);
// Pieces that the memory is cut into to show where it is hot.
constexpr uint64_t kRegions = 64;

double seconds(Nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

std::string size_text(double pages) { return human_bytes(pages * kTargetPageBytes); }

rusage used_so_far() noexcept {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used;
}

Nanoseconds cpu_of(const rusage& used) noexcept {
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

Estimated plus(Estimated estimate, double exact) noexcept {
  return {estimate.value + exact, estimate.low + exact, estimate.high + exact};
}

// The memory in pieces of about the same number of pages, no piece in two mappings.
std::vector<HotRegion> cut_regions(const ProcessMemory& memory, const PageRuns& pages) {
  std::vector<HotRegion> regions;
  const uint64_t each = std::max<uint64_t>(1, (pages.pages() + kRegions - 1) / kRegions);
  for (const Area& area : memory.areas()) {
    const uint64_t end = pages.number(area.mapping.end);
    for (uint64_t first = pages.number(area.mapping.start); first < end; first += each) {
      const uint64_t last = std::min(end, first + each) - 1;
      regions.push_back({pages.address(first), pages.address(last) + kTargetPageBytes,
                         area.mapping.name, static_cast<double>(last + 1 - first), 0});
    }
  }
  return regions;
}

HotRegion* region_of(std::vector<HotRegion>& regions, uint64_t address) noexcept {
  const auto region = std::partition_point(regions.begin(), regions.end(),
                                           [&](const HotRegion& r) { return r.end <= address; });
  return region != regions.end() && region->start <= address ? &*region : nullptr;
}

// Pages that did not exist before, a region for each mapping.
void add_new_regions(const ProcessMemory& memory, const PageRuns& fresh,
                     std::vector<HotRegion>& regions) {
  for (const Area& area : memory.areas()) {
    const uint64_t first = fresh.number(area.mapping.start);
    const uint64_t end = fresh.number(area.mapping.end);
    if (first == end) continue;
    const auto pages = static_cast<double>(end - first);
    regions.push_back({fresh.address(first), fresh.address(end - 1) + kTargetPageBytes,
                       area.mapping.name + " (new pages)", pages, pages});
  }
}

// One run of looks at a sample of what a census found.
class SamplingRun {
 public:
  SamplingRun(ProcessMemory& memory, const Census& before, PageSample sample,
              const std::vector<Nanoseconds>& windows)
      : memory_(memory),
        before_(before),
        sample_(std::move(sample)),
        looker_(memory, before.populated),
        // Part 0 is the census: which pages came and went.
        plan_(sample_.parts() + 1, windows),
        results_(windows.size()),
        fresh_(windows.size()) {
    for (size_t i = 0; i < windows.size(); ++i) results_[i].window = windows[i];
  }

  /// false: stopped. Then, and after an error, too, results() has the windows that were finished.
  Result<bool> run(int stop) noexcept;
  std::vector<WindowResult> results() noexcept;
  std::vector<HotRegion> regions() noexcept;
  /// Of the first window, of the sampled pages only.
  double dirty_part() const noexcept;
  uint64_t samples() const noexcept { return sample_.size(); }

 private:
  Result<void> take(const LookPlan::Step& step) noexcept;
  Result<void> compare_census(size_t window) noexcept;

  ProcessMemory& memory_;
  const Census& before_;
  PageSample sample_;
  ProcessLooker looker_;
  LookPlan plan_;
  std::vector<WindowResult> results_;
  std::vector<PageRuns> fresh_;  // by window: pages that came into being
};

Result<bool> SamplingRun::run(int stop) noexcept {
  while (true) {
    const LookPlan::Step step = plan_.next(system_clock().now());
    if (step.kind == LookPlan::Step::Kind::done) return true;
    if (step.kind != LookPlan::Step::Kind::wait) {
      TERN_TRY(take(step));
    }
    const bool waits = step.kind == LookPlan::Step::Kind::wait;
    if (TERN_TRY(memory_.process().wait(waits ? step.until : Nanoseconds(0), stop))) return false;
  }
}

Result<void> SamplingRun::take(const LookPlan::Step& step) noexcept {
  Nanoseconds at = system_clock().now();
  if (step.kind == LookPlan::Step::Kind::first) {
    if (step.part == 0) {
      at = before_.at;
    } else {
      TERN_TRY(sample_.remember_part(step.part - 1, looker_, system_clock()));
    }
  } else if (step.part == 0) {
    TERN_TRY(compare_census(step.window));
  } else {
    TERN_TRY(sample_.compare_part(step.part - 1, step.window, looker_, system_clock()));
  }
  plan_.did(step, at);
  return {};
}

Result<void> SamplingRun::compare_census(size_t window) noexcept {
  const Census now = TERN_TRY(memory_.census());
  WindowResult& result = results_[window];
  // A page that was swapped in meanwhile need not have been written.
  fresh_[window] = now.countable.without(before_.populated).without(before_.swapped);
  // As with samples: what was found written stays so, whatever became of it since.
  if (window > 0) fresh_[window] = fresh_[window].with(fresh_[window - 1]);
  result.new_pages = fresh_[window].pages();
  result.left_pages = before_.populated.without(now.populated).pages();
  result.interval = now.at - before_.at;
  return {};
}

std::vector<WindowResult> SamplingRun::results() noexcept {
  results_.resize(plan_.windows_done());
  for (size_t i = 0; i < results_.size(); ++i) {
    WindowResult& result = results_[i];
    const DirtyEstimate estimate = sample_.estimate(i);
    const auto fresh = static_cast<double>(result.new_pages);
    result.dirty_pages = plus(estimate.dirty_pages, fresh);
    result.pages_per_s =
        plus(estimate.pages_per_s, fresh / std::max(seconds(result.interval), 1e-9));
    if (estimate.samples > 0) result.interval = estimate.interval;
    result.looks = estimate.samples;
  }
  return results_;
}

double SamplingRun::dirty_part() const noexcept {
  const DirtyEstimate estimate = sample_.estimate(0);
  return estimate.samples == 0 || estimate.pages <= 0 ? 0
                                                      : estimate.dirty_pages.value / estimate.pages;
}

std::vector<HotRegion> SamplingRun::regions() noexcept {
  std::vector<HotRegion> regions = cut_regions(memory_, before_.populated);
  if (plan_.windows_done() == 0) return regions;
  const size_t last = plan_.windows_done() - 1;
  for (uint64_t i = 0; i < sample_.size(); ++i) {
    const PageSample::Sample one = sample_.sample(i, last);
    if (one.state != PageSample::State::changed) continue;
    HotRegion* region = region_of(regions, before_.populated.address(one.page));
    if (region != nullptr) region->dirty_pages += static_cast<double>(one.stands_for);
  }
  // A sample at the edge of a region stands for pages of the next one, too.
  for (HotRegion& region : regions) region.dirty_pages = std::min(region.dirty_pages, region.pages);
  add_new_regions(memory_, fresh_[last], regions);
  return regions;
}

// Finished windows are kept whatever ended the measurement after them.
Result<void> end_early(const Result<bool>& finished, Measurement& into) {
  if (finished) {
    into.stopped = !*finished;
    return {};
  }
  if (into.windows.empty()) return Error(finished.error());
  into.failure = finished.error();
  return {};
}

uint64_t wanted_samples(const MeasureOptions& options, const Expectation& expectation,
                        uint64_t pages) noexcept {
  if (options.samples > 0) return options.samples;
  if (options.samples_per_gib > 0) {
    return std::max<uint64_t>(1, PageSample::count_per_gib(pages, options.samples_per_gib));
  }
  if (pages <= kPilotSamples) return pages;
  const uint64_t needed = samples_for(options.precision, expectation.dirty_part.value_or(0), pages);
  return std::min(std::max(needed, kPilotSamples), options.max_samples);
}

Result<void> measure_by_sampling(ProcessMemory& memory, const MeasureOptions& options,
                                 Expectation& expectation, int stop, Measurement& into) noexcept {
  const uint64_t seed =
      options.seed != 0 ? options.seed : static_cast<uint64_t>(system_clock().now().count());
  Census before = TERN_TRY(memory.census());
  const auto sampled = [&](uint64_t count) {
    const uint64_t pages = before.populated.pages();
    return PageSample::choose(std::span(&pages, 1), count, seed);
  };
  // Nothing is known yet: a short look first tells how many samples the precision needs.
  if (options.samples == 0 && options.samples_per_gib == 0 && !expectation.dirty_part &&
      before.populated.pages() > std::min(kPilotSamples, options.max_samples)) {
    const std::vector<Nanoseconds> window{std::min(kPilotWindow, options.windows.front())};
    const uint64_t pilot = std::min(kPilotSamples, options.max_samples);
    SamplingRun run(memory, before, TERN_TRY(sampled(pilot)), window);
    if (!TERN_TRY(run.run(stop))) {
      into.stopped = true;
      return {};
    }
    expectation.dirty_part = run.dirty_part();
    before = TERN_TRY(memory.census());
  }
  into.populated_pages = before.populated.pages();
  into.mapped_bytes = before.mapped_bytes;
  into.swapped_pages = before.swapped.pages();
  const uint64_t count = wanted_samples(options, expectation, into.populated_pages);
  SamplingRun run(memory, before, TERN_TRY(sampled(count)), options.windows);
  into.started = system_clock().wall();
  const Result<bool> finished = run.run(stop);
  into.samples = run.samples();
  into.windows = run.results();
  TERN_TRY(end_early(finished, into));
  if (into.windows.empty()) return {};
  expectation.dirty_part = run.dirty_part();
  into.regions = run.regions();
  if (before.too_large > 0) {
    into.notes.push_back(std::to_string(before.too_large) +
                         " mappings are too large for a kernel without PAGEMAP_SCAN (before Linux "
                         "6.7): left out");
  }
  return {};
}

Result<void> measure_by_soft_dirty(ProcessMemory& memory, const MeasureOptions& options, int stop,
                                   Measurement& into) noexcept {
  const Census before = TERN_TRY(memory.census());
  into.started = system_clock().wall();
  into.mapped_bytes = before.mapped_bytes;
  into.swapped_pages = before.swapped.pages();
  into.populated_pages = before.populated.pages();
  into.cost.clearing = TERN_TRY(clear_soft_dirty(memory.process()));
  const Nanoseconds begin = system_clock().now() - into.cost.clearing / 2;
  Census written;
  // One window; false: stopped.
  const auto wait_and_look = [&](Nanoseconds window) -> Result<bool> {
    if (TERN_TRY(memory.process().wait(begin + window, stop))) return false;
    written = TERN_TRY(memory.soft_dirty_census());
    return true;
  };
  for (const Nanoseconds window : options.windows) {
    const Result<bool> looked = wait_and_look(window);
    TERN_TRY(end_early(looked, into));
    if (into.stopped || into.failure) break;
    WindowResult result{.window = window, .interval = written.at - begin};
    const auto pages = static_cast<double>(written.populated.pages());
    const double rate = pages / std::max(seconds(result.interval), 1e-9);
    result.dirty_pages = {pages, pages, pages};
    result.pages_per_s = {rate, rate, rate};
    result.new_pages = written.populated.without(before.populated).pages();
    into.windows.push_back(result);
  }
  if (into.windows.empty()) return {};
  const Result<Census> after = memory.census();
  if (!after && !into.failure) TERN_TRY(end_early(Error(after.error()), into));
  const PageRuns& left = after ? after->populated : before.populated;
  into.windows.back().left_pages = before.populated.without(left).pages();
  into.regions = cut_regions(memory, left);
  for (HotRegion& region : into.regions) {
    region.dirty_pages = static_cast<double>(written.populated.number(region.end) -
                                             written.populated.number(region.start));
  }
  if (written.too_large > 0) {
    into.notes.push_back(std::to_string(written.too_large) +
                         " mappings are too large to be read page by page: left out");
  }
  return {};
}

uint64_t huge_of(Process& process) noexcept {
  const Result<std::string> rollup = process.read("smaps_rollup");
  return rollup ? huge_bytes(*rollup) : 0;
}

void add_notes(ProcessMemory& memory, size_t children_before, Measurement& into) {
  std::vector<std::string>& notes = into.notes;
  const auto note = [&](std::string text) { notes.push_back(std::move(text)); };
  const size_t children = memory.process().children();
  if (children > children_before) {
    note("it has forked: " + std::to_string(children) +
         " child processes now, whose own memory is not in the figures");
  } else if (children > 0) {
    note("its " + std::to_string(children) +
         " child processes have memory of their own, which is "
         "not in the figures");
  }
  if (memory.process().stopped()) {
    note("it is stopped now, by a signal or a debugger, and writes nothing until it goes on");
  }
  if (memory.remapped_bytes() > 0) {
    note("mappings of " + human_bytes(static_cast<double>(memory.remapped_bytes())) +
         " came or went meanwhile");
  }
  if (!into.windows.empty() && into.windows.back().left_pages > 0) {
    note(size_text(static_cast<double>(into.windows.back().left_pages)) +
         " were given back, unmapped or swapped out meanwhile: what was written there since the "
         "last look is not in the figures");
  }
  if (into.swapped_pages > 0) {
    note(size_text(static_cast<double>(into.swapped_pages)) +
         " are swapped out: not looked at, that would bring them in");
  }
  if (into.mode == RateMode::page_sampling && memory.partly_seen()) {
    note(
        "shared mappings that are no tmpfs we may open count as far as this process has them "
        "mapped");
  }
  const bool shared = std::any_of(memory.areas().begin(), memory.areas().end(),
                                  [](const Area& area) { return area.mapping.shared; });
  if (into.mode == RateMode::soft_dirty && shared) {
    note("soft-dirty bits do not show what other processes write to memory that is shared");
  }
  const uint64_t huge = into.mode == RateMode::soft_dirty ? huge_of(memory.process()) : 0;
  if (huge > 0) {
    note(human_bytes(static_cast<double>(huge)) +
         " are huge pages: each write to one counts as 2 MiB");
  }
  if (into.stopped || into.failure) {
    note("the longer windows are missing: " +
         std::string(into.stopped ? "interrupted" : into.failure->message()));
  }
  for (const WindowResult& window : into.windows) {
    if (seconds(window.interval) > 1.2 * seconds(window.window)) {
      note("looking takes longer than the window of " +
           std::to_string(window.window.count() / 1000000) +
           " ms: the figures are for the interval that is named");
      break;
    }
  }
}

}  // namespace

std::string_view to_string(RateMode mode) noexcept {
  switch (mode) {
    case RateMode::automatic:
      return "auto";
    case RateMode::page_sampling:
      return "page-sampling";
    case RateMode::soft_dirty:
      return "soft-dirty";
  }
  return "?";
}

Result<ModeChoice> choose_mode(RateMode wanted, ProcessMemory& memory) noexcept {
  if (wanted == RateMode::page_sampling) return ModeChoice{wanted, "asked for"};
  const bool soft_dirty = kernel_has_soft_dirty();
  if (wanted == RateMode::soft_dirty) {
    if (!soft_dirty) {
      return Error(ErrorCode::unsupported,
                   "this kernel has no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY): use --mode "
                   "page-sampling",
                   kNotAvailable);
    }
    TERN_TRY(may_clear_soft_dirty(memory.process()));
    return ModeChoice{wanted, "asked for"};
  }
  if (!soft_dirty) {
    return ModeChoice{RateMode::page_sampling,
                      "this kernel has no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)"};
  }
  const Result<void> allowed = may_clear_soft_dirty(memory.process());
  if (!allowed) return ModeChoice{RateMode::page_sampling, allowed.error().message()};
  const Census census = TERN_TRY(memory.census());
  uint64_t shared = 0;
  for (const Area& area : memory.areas()) {
    if (!area.mapping.shared) continue;
    shared +=
        census.populated.number(area.mapping.end) - census.populated.number(area.mapping.start);
  }
  // A few shared pages are in every desktop program; a hundredth is nothing that errors come from.
  if (shared > census.populated.pages() / 100) {
    return ModeChoice{RateMode::page_sampling,
                      size_text(static_cast<double>(shared)) +
                          " of it are shared, where soft-dirty bits do not show what other "
                          "processes write"};
  }
  const uint64_t huge = huge_of(memory.process());
  if (huge / kTargetPageBytes > census.populated.pages() / 100) {
    return ModeChoice{RateMode::page_sampling,
                      human_bytes(static_cast<double>(huge)) +
                          " of it are huge pages, of which soft-dirty bits show 2 MiB for each "
                          "write"};
  }
  return ModeChoice{RateMode::soft_dirty,
                    "the kernel has soft-dirty bits, which are exact, and they may be cleared"};
}

Result<Measurement> measure(Process& process, const MappingChoice& choice, RateMode mode,
                            const MeasureOptions& options, Expectation& expectation,
                            int stop) noexcept {
  Measurement result;
  result.mode = mode;
  const rusage used_before = used_so_far();
  const Nanoseconds begun = system_clock().now();
  const size_t children = process.children();
  ProcessMemory memory(process, choice);
  if (mode == RateMode::soft_dirty) {
    TERN_TRY(measure_by_soft_dirty(memory, options, stop, result));
  } else {
    TERN_TRY(measure_by_sampling(memory, options, expectation, stop, result));
  }
  if (result.windows.empty()) return result;
  result.mappings = memory.areas().size();
  result.all_mappings = memory.chosen().all;
  add_notes(memory, children, result);
  const rusage used_after = used_so_far();
  result.cost.cpu = cpu_of(used_after) - cpu_of(used_before);
  result.cost.wall = system_clock().now() - begun;
  result.cost.bytes_read = memory.cost().bytes_copied;
  result.cost.pages_hashed = memory.cost().pages_hashed;
  result.cost.peak_bytes = static_cast<uint64_t>(used_after.ru_maxrss) * 1024;
  return result;
}

}  // namespace tern::tool
