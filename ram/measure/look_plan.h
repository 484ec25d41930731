// SPDX-License-Identifier: Apache-2.0
//
// LookPlan: which part of a sample to look at next, so that each part is looked at again a given
// time after its own first look, however long looking takes. A large sample is read like a wave:
// while late parts have their first look, early ones have their second. Decides, does not wait.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tern/clock.h"

namespace tern {

class LookPlan {
 public:
  /// Each of `parts` parts gets a first look and one more after each of `windows` (ascending, from
  /// its first look on).
  LookPlan(size_t parts, std::span<const Nanoseconds> windows) noexcept;

  struct Step {
    enum class Kind { first, again, wait, done } kind;
    size_t part = 0;
    size_t window = 0;    ///< of `again`: index
    Nanoseconds until{};  ///< of `wait`
  };
  /// What to do at `now`. What is due comes before new first looks, and what is due longest first.
  Step next(Nanoseconds now) const noexcept;
  /// It was done; `now` is the moment of the look.
  void did(const Step& step, Nanoseconds now) noexcept;
  /// How many windows, from the shortest on, have had all their looks.
  size_t windows_done() const noexcept;

 private:
  std::vector<Nanoseconds> windows_;
  std::vector<Nanoseconds> first_;  // of the parts that had their first look
  std::vector<size_t> reached_;     // by window: how many parts had this look
  size_t parts_;
};

}  // namespace tern
