// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/dirty_estimate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tern {
namespace {

constexpr double kZ = 1.959964;  // 95 % of a normal distribution
constexpr double kZ2 = kZ * kZ;

// Wilson's interval for a part of which `n` independent samples gave `part`. It holds for small
// counts too, 0 among them.
Estimated wilson(double part, double n) noexcept {
  const double middle = (part + kZ2 / (2 * n)) / (1 + kZ2 / n);
  const double half = kZ * std::sqrt(part * (1 - part) / n + kZ2 / (4 * n * n)) / (1 + kZ2 / n);
  return {part, std::clamp(middle - half, 0.0, part), std::clamp(middle + half, part, 1.0)};
}

// Independent samples that would be as good as these. Cells cut the memory into as many strata as
// there are samples, so only what varies inside a cell is left to chance: nothing if the cell is
// one page, little where neighbours are dirty or clean together.
double independent_samples(std::span<const SampleGroup> groups, double part,
                           const DirtyEstimate& all) noexcept {
  double spread = 0;
  double variance = 0;  // as the groups show it
  for (const SampleGroup& group : groups) {
    spread += group.spread;
    if (group.samples < 2) continue;
    const auto n = static_cast<double>(group.samples);
    const auto changed = static_cast<double>(group.changed);
    variance += group.spread * changed * (n - changed) / (n * (n - 1));
  }
  if (spread <= 0) return std::numeric_limits<double>::infinity();
  // Compared with the variance without strata. A few changed samples show little about regions:
  // both get a few more that are strewn at random.
  const double strewn = kZ2 * spread / static_cast<double>(all.samples);
  const double effect = (variance + strewn) / (spread * part * (1 - part) + strewn);
  return all.pages * all.pages / spread / effect;
}

}  // namespace

double DirtyEstimate::precision() const noexcept {
  const double width = pages_per_s.high - pages_per_s.low;
  if (width <= 0) return 0;
  if (pages_per_s.value <= 0) return std::numeric_limits<double>::infinity();
  return width / 2 / pages_per_s.value;
}

DirtyEstimate estimate_dirty(std::span<const SampleGroup> groups) noexcept {
  DirtyEstimate all;
  double page_seconds = 0;
  double per_s = 0;
  for (const SampleGroup& group : groups) {
    all.samples += group.samples;
    all.changed += group.changed;
    all.pages += group.pages;
    all.lost_pages += group.lost_pages;
    all.dirty_pages.value += group.changed_pages;
    page_seconds += group.page_seconds;
    per_s += group.pages_per_s;
  }
  if (all.pages <= 0 || page_seconds <= 0) return all;
  const double mean = page_seconds / all.pages;
  all.interval = std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(mean));
  const double part = all.dirty_pages.value / all.pages;
  const double n = independent_samples(groups, part, all);
  const Estimated parts = std::isinf(n) ? Estimated{part, part, part} : wilson(part, n);
  all.dirty_pages.low = parts.low * all.pages;
  all.dirty_pages.high = parts.high * all.pages;
  if (std::isinf(n)) all.dirty_pages.low = all.dirty_pages.high = all.dirty_pages.value;
  // The same interval, as the rate is the same sum with each interval put in.
  const double rate = part > 0 ? per_s / part : all.pages / mean;
  all.pages_per_s = {per_s, parts.low * rate, parts.high * rate};
  return all;
}

uint64_t samples_for(double precision, double part, uint64_t pages) noexcept {
  if (pages == 0) return 0;
  const double all = static_cast<double>(pages);
  if (precision <= 0 || part <= 0) return pages;
  const double infinite = kZ2 * (1 - std::min(part, 1.0)) / (part * precision * precision);
  return static_cast<uint64_t>(std::clamp(std::ceil(infinite / (1 + infinite / all)), 1.0, all));
}

}  // namespace tern
