// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/page_sample.h"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <utility>

#include "tern/ram_block.h"

namespace tern {
namespace {

// Samples that are taken together when the spread is estimated: enough to see how much they differ,
// few enough to lie close together.
constexpr uint64_t kGroup = 16;

__extension__ using Wide = unsigned __int128;

uint64_t scaled(uint64_t value, uint64_t by, uint64_t of) noexcept {
  return static_cast<uint64_t>(Wide{value} * by / of);
}

}  // namespace

uint64_t PageSample::count_per_gib(uint64_t pages, uint64_t per_gib) noexcept {
  constexpr uint64_t kPagesPerGib = (uint64_t{1} << 30) / kTargetPageBytes;
  return scaled(pages, std::min(per_gib, kPagesPerGib), kPagesPerGib);
}

Result<PageSample> PageSample::choose(std::span<const uint64_t> block_pages, uint64_t count,
                                      uint64_t seed) noexcept {
  PageSample sample;
  sample.starts_.reserve(block_pages.size() + 1);
  uint64_t all = 0;
  for (const uint64_t pages : block_pages) {
    sample.starts_.push_back(all);
    if (__builtin_add_overflow(all, pages, &all)) {
      return Error(ErrorCode::invalid_argument, "blocks of more pages than can be counted");
    }
  }
  sample.starts_.push_back(all);
  count = std::min(count, all);
  if (count > kMaxSamples) {
    return Error(ErrorCode::invalid_argument,
                 std::to_string(count) + " samples: at most " + std::to_string(kMaxSamples));
  }
  sample.pages_.resize(count);
  sample.hashes_.resize(count);
  sample.found_.resize(count);
  sample.remembered_.resize(sample.parts());
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = scaled(i, all, count);
    const uint64_t pages = sample.cell_pages(i);
    sample.pages_[i] = begin + static_cast<uint64_t>((Wide{random()} * pages) >> 64);
  }
  return sample;
}

uint64_t PageSample::cell_pages(uint64_t index) const noexcept {
  const uint64_t all = population();
  return scaled(index + 1, all, size()) - scaled(index, all, size());
}

size_t PageSample::part_pages(size_t part) const noexcept {
  return (size() - part + parts() - 1) / parts();
}

// The last block that begins at or before the page: empty blocks begin where the next one does.
size_t PageSample::block_of(uint64_t page) const noexcept {
  const auto after = std::upper_bound(starts_.begin(), starts_.end() - 1, page);
  return static_cast<size_t>(after - starts_.begin()) - 1;
}

PageSample::State PageSample::state_after(uint64_t index, size_t window) const noexcept {
  const Found& found = found_[index];
  if (found.changed != kNever && found.changed <= window) return State::changed;
  if (lost_.empty()) return found.remembered ? State::same : State::lost;
  const std::vector<bool>& lost = lost_[std::min(window, lost_.size() - 1)];
  return !lost.empty() && lost[index] ? State::lost : State::same;
}

PageSample::Sample PageSample::sample(uint64_t index, size_t window) const noexcept {
  const size_t block = block_of(pages_[index]);
  return {block, pages_[index] - starts_[block], cell_pages(index), state_after(index, window)};
}

Result<Nanoseconds> PageSample::look(size_t part, PageLooker& looker, const Clock& clock,
                                     std::span<PageLook> looks) const noexcept {
  std::array<uint64_t, kPartPages> within;
  const Nanoseconds before = clock.now();
  for (size_t done = 0; done < looks.size();) {
    const size_t block = block_of(pages_[index_of(part, done)]);
    size_t end = done;
    for (; end < looks.size(); ++end) {
      const uint64_t page = pages_[index_of(part, end)];
      if (page >= starts_[block + 1]) break;
      within[end] = page - starts_[block];
    }
    TERN_TRY(looker.look(block, std::span(within).subspan(done, end - done),
                         looks.subspan(done, end - done)));
    done = end;
  }
  return before + (clock.now() - before) / 2;
}

Result<void> PageSample::remember_part(size_t part, PageLooker& looker,
                                       const Clock& clock) noexcept {
  std::array<PageLook, kPartPages> looks{};
  const size_t count = part_pages(part);
  remembered_[part] = TERN_TRY(look(part, looker, clock, std::span(looks).first(count)));
  for (size_t i = 0; i < count; ++i) {
    hashes_[index_of(part, i)] = looks[i].hash;
    found_[index_of(part, i)] = {looks[i].seen, kNever};
  }
  return {};
}

Result<void> PageSample::compare_part(size_t part, size_t window, PageLooker& looker,
                                      const Clock& clock) noexcept {
  if (window >= kMaxWindows) {
    return Error(ErrorCode::invalid_argument, "a sample is compared too often");
  }
  std::array<PageLook, kPartPages> looks{};
  const size_t count = part_pages(part);
  const Nanoseconds now = TERN_TRY(look(part, looker, clock, std::span(looks).first(count)));
  while (compared_.size() <= window) compared_.emplace_back(parts());
  if (lost_.size() <= window) lost_.resize(window + 1);
  compared_[window][part] = now;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t index = index_of(part, i);
    Found& found = found_[index];
    // What was found changed stays so, whatever became of the page since.
    if (found.changed != kNever) continue;
    if (!looks[i].seen) {
      if (lost_[window].empty()) lost_[window].resize(size());
      lost_[window][index] = true;
    } else if (!found.remembered || looks[i].hash != hashes_[index]) {
      found.changed = static_cast<uint16_t>(window);
    }
  }
  return {};
}

void PageSample::add_to(SampleGroup& group, uint64_t index, size_t window) const noexcept {
  const size_t part = index % parts();
  const Nanoseconds at = compared_[window][part];
  if (at == Nanoseconds{}) return;  // this part was not
  const auto pages = static_cast<double>(cell_pages(index));
  const double seconds = std::chrono::duration<double>(at - remembered_[part]).count();
  const State state = state_after(index, window);
  group.samples += 1;
  group.pages += pages;
  group.spread += pages * (pages - 1);
  group.page_seconds += pages * seconds;
  if (state == State::changed) {
    group.changed += 1;
    group.changed_pages += pages;
    if (seconds > 0) group.pages_per_s += pages / seconds;
  } else if (state == State::lost) {
    group.lost += 1;
    group.lost_pages += pages;
  }
}

DirtyEstimate PageSample::estimate(size_t window) const noexcept {
  if (window >= compared_.size()) return {};
  std::vector<SampleGroup> groups((size() + kGroup - 1) / kGroup);
  for (uint64_t i = 0; i < size(); ++i) add_to(groups[i / kGroup], i, window);
  return estimate_dirty(groups);
}

Result<void> PageSample::remember(PageLooker& looker, const Clock& clock) noexcept {
  for (size_t part = 0; part < parts(); ++part) TERN_TRY(remember_part(part, looker, clock));
  return {};
}

Result<DirtyEstimate> PageSample::compare(PageLooker& looker, const Clock& clock) noexcept {
  const size_t window = compared_.size();
  for (size_t part = 0; part < parts(); ++part) {
    TERN_TRY(compare_part(part, window, looker, clock));
  }
  return estimate(window);
}

}  // namespace tern
