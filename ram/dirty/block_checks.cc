// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/block_checks.h"

#include <bit>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace tern {
namespace {

/// A line of /proc/self/maps: "start-end perms ...", the fourth letter of perms is s or p.
struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  bool shared = false;
};

std::optional<Mapping> parse_mapping(std::string_view line) noexcept {
  Mapping mapping;
  const char* const last = line.data() + line.size();
  const auto start = std::from_chars(line.data(), last, mapping.start, 16);
  if (start.ec != std::errc() || start.ptr == last) return std::nullopt;
  const auto end = std::from_chars(start.ptr + 1, last, mapping.end, 16);
  if (end.ec != std::errc() || last - end.ptr < 5) return std::nullopt;
  mapping.shared = end.ptr[4] == 's';
  return mapping;
}

}  // namespace

Result<void> check_blocks(std::span<const RamBlock> blocks) noexcept {
  for (const RamBlock& block : blocks) {
    const uint64_t page = block.page_bytes;
    const bool page_good = page >= kTargetPageBytes && std::has_single_bit(page);
    if (!page_good || block.host == nullptr || block.used_bytes == 0 ||
        block.used_bytes % page != 0 || reinterpret_cast<uintptr_t>(block.host) % page != 0) {
      return Error(ErrorCode::invalid_argument,
                   "RAM block " + block.idstr + ": address and length (" +
                       std::to_string(block.used_bytes) +
                       " bytes) must be multiples of its page (" + std::to_string(page) +
                       " bytes, a power of two from 4096) and not 0");
    }
  }
  return {};
}

Result<void> check_sharing(std::span<const RamBlock> blocks) noexcept {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::optional<Mapping> mapping = parse_mapping(line);
    if (!mapping) continue;
    for (const RamBlock& block : blocks) {
      const uint64_t start = reinterpret_cast<uintptr_t>(block.host);
      const bool overlap = mapping->start < start + block.used_bytes && start < mapping->end;
      if (!overlap || mapping->shared == block.shared) continue;
      return Error(ErrorCode::invalid_argument, "RAM block " + block.idstr + ": it is mapped " +
                                                    (mapping->shared ? "shared" : "private") +
                                                    ", its description says the opposite");
    }
  }
  return {};
}

Result<void> check_shape(std::span<const RamBlock> blocks, const DirtyBitmap& into) noexcept {
  bool same = blocks.size() == into.blocks();
  for (size_t i = 0; same && i < blocks.size(); ++i) {
    same = into.block(i).pages() == blocks[i].used_bytes / kTargetPageBytes;
  }
  if (same) return {};
  return Error(ErrorCode::invalid_argument,
               "the dirty bitmap was not made for the RAM blocks that are tracked");
}

}  // namespace tern
