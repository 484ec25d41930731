// SPDX-License-Identifier: Apache-2.0
#include "ram/send/xbzrle_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace tern {
namespace {

// One piece for all three arrays: zero, and not there before it is written.
constexpr uint64_t kBytesPerSlot = kTargetPageBytes + sizeof(uint64_t) + sizeof(uint32_t);

}  // namespace

Result<XbzrleCache> XbzrleCache::create(uint64_t bytes) noexcept {
  XbzrleCache cache;
  const uint64_t slots = bytes / kTargetPageBytes;
  void* memory = MAP_FAILED;
  if (slots != 0 && slots <= SIZE_MAX / kBytesPerSlot) {
    memory = ::mmap(nullptr, slots * kBytesPerSlot, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (memory == MAP_FAILED) {
    return Error(ErrorCode::resource_exhausted,
                 "no memory for an XBZRLE cache of " + std::to_string(bytes) + " bytes");
  }
  cache.data_ = static_cast<std::byte*>(memory);
  cache.pages_ = reinterpret_cast<uint64_t*>(cache.data_ + slots * kTargetPageBytes);
  cache.used_in_ = reinterpret_cast<uint32_t*>(cache.pages_ + slots);
  cache.slots_ = slots;
  cache.ways_ = std::min(slots, kWays);
  cache.sets_ = slots / cache.ways_;
  return cache;
}

XbzrleCache::~XbzrleCache() {
  if (data_ != nullptr) ::munmap(data_, slots_ * kBytesPerSlot);
}

XbzrleCache::XbzrleCache(XbzrleCache&& other) noexcept { *this = std::move(other); }

XbzrleCache& XbzrleCache::operator=(XbzrleCache&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(pages_, other.pages_);
  std::swap(used_in_, other.used_in_);
  std::swap(slots_, other.slots_);
  std::swap(ways_, other.ways_);
  std::swap(sets_, other.sets_);
  return *this;
}

std::byte* XbzrleCache::find(uint64_t page, uint32_t round) noexcept {
  if (slots_ == 0) return nullptr;
  const uint64_t first = first_slot(page);
  for (uint64_t i = first; i < first + ways_; ++i) {
    if (pages_[i] != page + 1) continue;
    used_in_[i] = round;
    return slot(i);
  }
  return nullptr;
}

// Of the places where the page may be; an empty one is older than any.
uint64_t XbzrleCache::oldest_slot(uint64_t page) const noexcept {
  const uint64_t first = first_slot(page);
  uint64_t oldest = first;
  for (uint64_t i = first; i < first + ways_ && pages_[oldest] != 0; ++i) {
    if (pages_[i] == 0 || used_in_[i] < used_in_[oldest]) oldest = i;
  }
  return oldest;
}

std::byte* XbzrleCache::insert(uint64_t page, uint32_t round) noexcept {
  if (slots_ == 0) return nullptr;
  const uint64_t oldest = oldest_slot(page);
  if (pages_[oldest] != 0 && used_in_[oldest] + 2 > round) return nullptr;
  pages_[oldest] = page + 1;
  used_in_[oldest] = round;
  return slot(oldest);
}

void XbzrleCache::take_over(const XbzrleCache& other) noexcept {
  for (uint64_t from = 0; from < other.slots_; ++from) {
    if (other.pages_[from] == 0) continue;
    const uint64_t page = other.pages_[from] - 1;
    const uint64_t oldest = oldest_slot(page);
    if (pages_[oldest] != 0 && used_in_[oldest] >= other.used_in_[from]) continue;
    pages_[oldest] = page + 1;
    used_in_[oldest] = other.used_in_[from];
    std::memcpy(slot(oldest), other.slot(from), kTargetPageBytes);
  }
}

}  // namespace tern
