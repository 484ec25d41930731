// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/guest_params.h"

#include <string>

#include "tools/vmm/le_bytes.h"

namespace tern::vmm {
namespace {

constexpr size_t kStartOffset = 0x08;
constexpr size_t kPagesOffset = 0x10;
constexpr size_t kTicksOffset = 0x18;
constexpr size_t kVcpusOffset = 0x20;
/// Any guest-physical address is below this; keeps sums from wrapping.
constexpr uint64_t kAddressLimit = 1ull << 46;

Error bad(std::string what) noexcept {
  return Error(ErrorCode::invalid_argument, "test guest parameters: " + std::move(what));
}

}  // namespace

Slice slice_of(const GuestParams& params, uint32_t vcpu) noexcept {
  return {params.pages * vcpu / params.vcpus, params.pages * (vcpu + 1ull) / params.vcpus};
}

Result<void> check_params(const GuestParams& params, uint64_t ram_bytes) noexcept {
  if (params.vcpus < 1 || params.vcpus > kMaxVcpus) {
    return bad(std::to_string(params.vcpus) + " vCPUs; 1.." + std::to_string(kMaxVcpus));
  }
  if (params.start % kGuestPageBytes != 0 || params.start < kLowestRangeStart ||
      params.start >= kAddressLimit) {
    return bad("range start " + std::to_string(params.start) +
               " must be a multiple of 4096, 64 KiB or higher");
  }
  if (params.pages < params.vcpus || params.pages > kAddressLimit / kGuestPageBytes) {
    return bad("a range of " + std::to_string(params.pages) + " pages for " +
               std::to_string(params.vcpus) + " vCPUs");
  }
  const uint64_t end = params.start + params.pages * kGuestPageBytes;
  if (end > ram_bytes) {
    return bad("the range ends at " + std::to_string(end) + ", the RAM at " +
               std::to_string(ram_bytes));
  }
  return {};
}

std::array<std::byte, kParamsBytes> encode_params(const GuestParams& params) noexcept {
  std::array<std::byte, kParamsBytes> block{};
  store_le<uint32_t>(block, 0, kParamsMagic);
  store_le<uint32_t>(block, 4, kParamsVersion);
  store_le<uint64_t>(block, kStartOffset, params.start);
  store_le<uint64_t>(block, kPagesOffset, params.pages);
  store_le<uint64_t>(block, kTicksOffset, params.ticks_per_page);
  store_le<uint32_t>(block, kVcpusOffset, params.vcpus);
  store_le<uint32_t>(block, kParamsFlagsOffset, params.as_work ? kParamsFlagWork : 0);
  return block;
}

Result<ParamBlock> decode_params(std::span<const std::byte> block) noexcept {
  if (block.size() < kParamsBytes) return bad("block cut short");
  if (load_le<uint32_t>(block) != kParamsMagic) return bad("no magic: the guest has not run here");
  if (const auto version = load_le<uint32_t>(block, 4); version != kParamsVersion) {
    return bad("block version " + std::to_string(version));
  }
  ParamBlock out;
  out.params.start = load_le<uint64_t>(block, kStartOffset);
  out.params.pages = load_le<uint64_t>(block, kPagesOffset);
  out.params.ticks_per_page = load_le<uint64_t>(block, kTicksOffset);
  out.params.vcpus = load_le<uint32_t>(block, kVcpusOffset);
  out.params.as_work = (load_le<uint32_t>(block, kParamsFlagsOffset) & kParamsFlagWork) != 0;
  TERN_TRY(check_params(out.params, UINT64_MAX));
  for (uint32_t i = 0; i < out.params.vcpus; ++i) {
    const size_t at = kParamsStatusOffset + i * 8ull;
    out.status[i] = {load_le<uint32_t>(block, at + kStatusFilledOffset),
                     load_le<uint32_t>(block, at + kStatusRoundsOffset)};
    if (out.status[i].filled > slice_of(out.params, i).pages()) {
      return bad("vCPU " + std::to_string(i) + " says that it filled " +
                 std::to_string(out.status[i].filled) + " pages of " +
                 std::to_string(slice_of(out.params, i).pages()));
    }
  }
  return out;
}

void fill_page(uint64_t gfn, std::span<std::byte, kGuestPageBytes> page) noexcept {
  for (uint32_t word = 0; word < kGuestPageBytes / 4; ++word) {
    store_le<uint32_t>(page, word * 4ull, fill_word(gfn, word));
  }
  page[0] = std::byte{0};
}

}  // namespace tern::vmm
