// SPDX-License-Identifier: Apache-2.0
//
// Proves from a memory image alone that tern's test guest lost no write and saw none twice. Reads
// bytes; knows nothing of VMMs, migration or files beyond a raw dump.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/result.h"
#include "tools/vmm/guest_params.h"

namespace tern::vmm {

/// The first page that contradicts the guest's program.
struct BadPage {
  uint32_t vcpu = 0;
  uint64_t gpa = 0;
  std::string reason;
};

struct SliceVerdict {
  uint32_t vcpu = 0;
  Slice slice;
  uint64_t filled = 0;    ///< pages filled; less than the slice while the guest is still filling
  uint64_t rounds = 0;    ///< whole rounds
  uint64_t position = 0;  ///< pages of the current round done
  /// Pages written since the start: what --after compares.
  uint64_t progress() const noexcept { return filled + rounds * slice.pages() + position; }
};

struct Verdict {
  bool consistent = false;
  bool filling = false;  ///< some slice was not filled completely yet
  GuestParams params;
  std::vector<SliceVerdict> slices;
  std::optional<BadPage> bad;  ///< set exactly when not consistent
};

/// Checks a memory image that begins at guest-physical address 0 and was taken while the guest
/// stood still. `forced`: range and vCPUs when there is no parameter block; rounds are then known
/// only modulo 256. Errors: invalid_argument (no block, the image is shorter than the range). An
/// inconsistent guest is a verdict, not an error.
Result<Verdict> check_guest(std::span<const std::byte> image,
                            const std::optional<GuestParams>& forced = std::nullopt) noexcept;

/// Proves that every vCPU went on between two images of one guest. Errors: invalid_argument
/// (parameters differ), failed_precondition (naming the vCPU that stands still or went back).
Result<void> check_advanced(const Verdict& before, const Verdict& after) noexcept;

/// One paragraph for people.
std::string describe(const Verdict& verdict) noexcept;
/// One JSON object, one line.
std::string to_json(const Verdict& verdict, const std::optional<std::string>& advance_error,
                    bool advance_checked) noexcept;

}  // namespace tern::vmm
