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
  sample.states_.resize(count, State::unseen);
  sample.looked_at_.resize(sample.parts());
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

PageSample::Sample PageSample::sample(uint64_t index) const noexcept {
  const uint64_t page = pages_[index];
  // The last block that begins at or before the page: empty blocks begin where the next one does.
  const auto after = std::upper_bound(starts_.begin(), starts_.end() - 1, page);
  const auto block = static_cast<size_t>(after - starts_.begin()) - 1;
  return {block, page - starts_[block], cell_pages(index), states_[index]};
}

Result<Nanoseconds> PageSample::look(size_t part, PageLooker& looker, const Clock& clock,
                                     std::span<PageLook> looks) const noexcept {
  std::array<uint64_t, kPartPages> within;
  const uint64_t first = part * kPartPages;
  const Nanoseconds before = clock.now();
  for (size_t done = 0; done < looks.size();) {
    const size_t block = sample(first + done).block;
    size_t end = done;
    for (; end < looks.size() && pages_[first + end] < starts_[block + 1]; ++end) {
      within[end] = pages_[first + end] - starts_[block];
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
  const uint64_t first = part * kPartPages;
  const size_t count = std::min<uint64_t>(kPartPages, size() - first);
  looked_at_[part] = TERN_TRY(look(part, looker, clock, std::span(looks).first(count)));
  for (size_t i = 0; i < count; ++i) {
    hashes_[first + i] = looks[i].hash;
    states_[first + i] = looks[i].seen ? State::same : State::lost;
  }
  return {};
}

Result<std::vector<SampleGroup>> PageSample::compare_part(size_t part, PageLooker& looker,
                                                          const Clock& clock) noexcept {
  std::array<PageLook, kPartPages> looks{};
  const uint64_t first = part * kPartPages;
  const size_t count = std::min<uint64_t>(kPartPages, size() - first);
  const Nanoseconds now = TERN_TRY(look(part, looker, clock, std::span(looks).first(count)));
  std::vector<SampleGroup> groups((count + kGroup - 1) / kGroup);
  for (size_t i = 0; i < count; ++i) {
    State& state = states_[first + i];
    // What was found changed stays so, whatever became of the page since.
    if (state == State::same && !looks[i].seen) state = State::lost;
    if (state == State::same && looks[i].hash != hashes_[first + i]) state = State::changed;
    SampleGroup& group = groups[i / kGroup];
    const auto pages = static_cast<double>(cell_pages(first + i));
    group.interval = now - looked_at_[part];
    group.samples += 1;
    group.pages += pages;
    group.spread += pages * (pages - 1);
    if (state == State::changed) {
      group.changed += 1;
      group.changed_pages += pages;
    } else if (state != State::same) {
      group.lost += 1;
      group.lost_pages += pages;
    }
  }
  return groups;
}

Result<void> PageSample::remember(PageLooker& looker, const Clock& clock) noexcept {
  for (size_t part = 0; part < parts(); ++part) TERN_TRY(remember_part(part, looker, clock));
  return {};
}

Result<DirtyEstimate> PageSample::compare(PageLooker& looker, const Clock& clock) noexcept {
  std::vector<SampleGroup> groups;
  for (size_t part = 0; part < parts(); ++part) {
    const std::vector<SampleGroup> more = TERN_TRY(compare_part(part, looker, clock));
    groups.insert(groups.end(), more.begin(), more.end());
  }
  return estimate_dirty(groups);
}

}  // namespace tern
