// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/look_plan.h"

#include <algorithm>

namespace tern {

LookPlan::LookPlan(size_t parts, std::span<const Nanoseconds> windows) noexcept
    : windows_(windows.begin(), windows.end()), reached_(windows.size()), parts_(parts) {
  first_.reserve(parts);
}

LookPlan::Step LookPlan::next(Nanoseconds now) const noexcept {
  Step best{Step::Kind::done};
  for (size_t i = 0; i < windows_.size(); ++i) {
    // Parts come in the same order at every window, and a part's windows in theirs.
    const size_t part = reached_[i];
    const size_t ahead = i == 0 ? first_.size() : reached_[i - 1];
    if (part >= ahead) continue;
    const Nanoseconds due = first_[part] + windows_[i];
    if (best.kind == Step::Kind::done || due < best.until) {
      best = {Step::Kind::again, part, i, due};
    }
  }
  if (best.kind == Step::Kind::again && best.until <= now) return best;
  if (first_.size() < parts_) return {Step::Kind::first, first_.size()};
  if (best.kind == Step::Kind::again) best.kind = Step::Kind::wait;
  return best;
}

void LookPlan::did(const Step& step, Nanoseconds now) noexcept {
  if (step.kind == Step::Kind::first) first_.push_back(now);
  if (step.kind == Step::Kind::again) ++reached_[step.window];
}

size_t LookPlan::windows_done() const noexcept {
  return static_cast<size_t>(std::count(reached_.begin(), reached_.end(), parts_));
}

}  // namespace tern
