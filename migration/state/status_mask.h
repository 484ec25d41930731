// SPDX-License-Identifier: Apache-2.0
//
// Sets of migration states, for rules that are written as data.
#pragma once

#include <cstdint>

#include "tern/events.h"

namespace tern {

using StatusMask = uint32_t;
constexpr StatusMask bit(Status status) noexcept { return 1u << static_cast<unsigned>(status); }
inline constexpr StatusMask kAnyStatus = (1u << kStatusCount) - 1;
inline constexpr StatusMask kNothingRunning =
    bit(Status::none) | bit(Status::completed) | bit(Status::failed) | bit(Status::cancelled);
inline constexpr StatusMask kPostcopy =
    bit(Status::postcopy_device) | bit(Status::postcopy_active) | bit(Status::postcopy_paused) |
    bit(Status::postcopy_recover_setup) | bit(Status::postcopy_recover);
/// In which a source shows times and RAM counters.
inline constexpr StatusMask kShowsProgress = kPostcopy | bit(Status::active) |
                                             bit(Status::pre_switchover) | bit(Status::device) |
                                             bit(Status::cancelling) | bit(Status::completed);

}  // namespace tern
