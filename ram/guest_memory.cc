// SPDX-License-Identifier: Apache-2.0
#include "ram/guest_memory.h"

#include <set>
#include <string>

namespace tern {

Result<GuestMemory> GuestMemory::create(std::span<const RamBlock> blocks) noexcept {
  const auto bad = [](const RamBlock& b, const char* why) {
    return Error(ErrorCode::invalid_argument, "RAM block '" + b.idstr + "': " + why);
  };
  if (blocks.size() > 65536)
    return Error(ErrorCode::invalid_argument, "more than 65536 RAM blocks");
  GuestMemory memory(blocks);
  std::set<std::string_view> names;
  for (const RamBlock& b : blocks) {
    if (b.idstr.empty() || b.idstr.size() > 255) return bad(b, "its name must have 1 to 255 bytes");
    if (!names.insert(b.idstr).second) return bad(b, "the name is used twice");
    if (b.host == nullptr || reinterpret_cast<uintptr_t>(b.host) % kTargetPageBytes != 0) {
      return bad(b, "its address is not a page boundary");
    }
    if (b.used_bytes == 0 || b.used_bytes % kTargetPageBytes != 0) {
      return bad(b, "its length is not a whole number of pages");
    }
    if (b.max_bytes != 0 && b.max_bytes < b.used_bytes)
      return bad(b, "max_bytes is below used_bytes");
    if (__builtin_add_overflow(memory.total_, b.used_bytes, &memory.total_)) {
      return bad(b, "the lengths add up to more than 64 bits");
    }
  }
  return memory;
}

std::optional<size_t> GuestMemory::find(std::string_view idstr) const noexcept {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i].idstr == idstr) return i;
  }
  return std::nullopt;
}

}  // namespace tern
