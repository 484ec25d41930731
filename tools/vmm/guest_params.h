// SPDX-License-Identifier: Apache-2.0
//
// What tern's test guest is told, what it leaves in memory, and the pattern it writes.
// guest/guest.S is the same text in assembler; the threads machine and the checker go by this one.
// Knows nothing of VMMs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/result.h"

namespace tern::vmm {

inline constexpr uint64_t kGuestPageBytes = 4096;
inline constexpr uint32_t kMaxVcpus = 64;
/// A day in nanoseconds; nothing slower is a pace.
inline constexpr uint64_t kMaxTicksPerPage = 86'400'000'000'000;

/// The parameter block, little-endian, at a fixed guest-physical address (the layout stands in
/// guest.S).
inline constexpr uint64_t kParamsGpa = 0x500;
inline constexpr uint32_t kParamsMagic = 0x4e524554;  // "TERN"
inline constexpr uint32_t kParamsVersion = 1;
inline constexpr size_t kParamsFlagsOffset = 0x24;
inline constexpr uint32_t kParamsFlagWork = 1;
inline constexpr size_t kParamsStatusOffset = 0x40;
inline constexpr size_t kParamsBytes = kParamsStatusOffset + kMaxVcpus * 8;
inline constexpr size_t kStatusFilledOffset = 0;
inline constexpr size_t kStatusRoundsOffset = 4;
/// EAX of a vCPU that tern-vmm starts; EBX is its index.
inline constexpr uint32_t kVcpuMagic = 0x55504356;  // "VCPU"

/// Boot sector, block and whatever a firmware keeps low: the range stays above.
inline constexpr uint64_t kLowestRangeStart = 0x10000;
inline constexpr uint64_t kDefaultRangeStart = 0x100000;
inline constexpr uint64_t kDefaultRangeBytes = 16ull << 20;

struct GuestParams {
  uint64_t start = kDefaultRangeStart;  ///< guest-physical, page-aligned
  uint64_t pages = kDefaultRangeBytes / kGuestPageBytes;
  uint64_t ticks_per_page =
      0;               ///< 0 = full speed; TSC ticks under KVM, nanoseconds in the threads machine
  uint32_t vcpus = 1;  ///< 1..kMaxVcpus, not more than pages
  bool as_work = false;  ///< time in which a vCPU does not run is lost; else the average is kept
  bool operator==(const GuestParams&) const = default;
};

/// What one vCPU tells about itself in the block.
struct VcpuStatus {
  uint32_t filled = 0;  ///< pages of its slice that are filled
  uint32_t rounds = 0;  ///< whole rounds done; wraps
};

struct ParamBlock {
  GuestParams params;
  std::array<VcpuStatus, kMaxVcpus> status{};
};

/// Pages of the range, counted from its start: [first, end).
struct Slice {
  uint64_t first = 0;
  uint64_t end = 0;
  uint64_t pages() const noexcept { return end - first; }
};
/// The slice of one vCPU; slices differ by at most one page in length.
Slice slice_of(const GuestParams& params, uint32_t vcpu) noexcept;

/// Errors: invalid_argument, naming what does not fit into `ram_bytes` bytes of RAM from address 0.
Result<void> check_params(const GuestParams& params, uint64_t ram_bytes) noexcept;

std::array<std::byte, kParamsBytes> encode_params(const GuestParams& params) noexcept;
/// Reads a block; it is checked as hostile. Errors: invalid_argument (no magic, version, ranges).
Result<ParamBlock> decode_params(std::span<const std::byte> block) noexcept;

/// Word `word` (0..1023) of the page at guest-physical page number `gfn`, as the fill leaves it,
/// except that byte 0 of the page is the counter, 0 at first.
constexpr uint32_t fill_word(uint64_t gfn, uint32_t word) noexcept {
  return static_cast<uint32_t>(gfn) * 0x85ebca6bU + 1U + (word % 16U) * 0x9e3779b1U;
}
/// A whole filled page with counter 0.
void fill_page(uint64_t gfn, std::span<std::byte, kGuestPageBytes> page) noexcept;

/// What vCPU 0 prints at the end of round `round`.
constexpr char round_char(uint32_t round) noexcept { return static_cast<char>('A' + round % 26U); }

}  // namespace tern::vmm
