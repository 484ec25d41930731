// SPDX-License-Identifier: Apache-2.0
#include "ram/send/xbzrle_stage.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace tern {
namespace {

TERN_RACY_READS void copy_page(std::byte* to, const std::byte* guest) noexcept {
  std::memcpy(to, guest, kTargetPageBytes);
}

}  // namespace

XbzrleStage::XbzrleStage(const GuestMemory& memory, XbzrleCounters& counters,
                         const PageOps& ops) noexcept
    : memory_(memory), counters_(counters), encoder_(ops) {
  for (size_t b = 0; b < memory.count(); ++b) {
    first_page_.push_back(all_pages_);
    all_pages_ += memory.pages(b);
  }
}

Result<void> XbzrleStage::set_cache_size(uint64_t bytes) noexcept {
  if (bytes == wanted_bytes_) return {};
  const uint64_t useful = std::bit_ceil(std::max<uint64_t>(all_pages_, 1)) * kTargetPageBytes;
  const uint64_t size = std::min(bytes, useful);
  if (size != cache_.bytes()) {
    XbzrleCache next = TERN_TRY(XbzrleCache::create(size));
    next.take_over(cache_);
    cache_ = std::move(next);
  }
  wanted_bytes_ = bytes;
  counters_.cache_size.set(bytes);
  return {};
}

void XbzrleStage::sent_as_zero(size_t block, uint64_t page) noexcept {
  if (!on_) return;
  std::byte* copy = cache_.find(number(block, page), round_);
  if (copy == nullptr && !last_) copy = cache_.insert(number(block, page), round_);
  if (copy != nullptr) std::memset(copy, 0, kTargetPageBytes);
}

XbzrleStage::Decision XbzrleStage::decide(size_t block, uint64_t page) noexcept {
  const std::byte* const guest = memory_.page(block, page);
  std::byte* copy = cache_.find(number(block, page), round_);
  if (copy == nullptr) {
    counters_.cache_miss.add(1);
    if (!last_) copy = cache_.insert(number(block, page), round_);
    if (copy == nullptr) return {How::guest_page, {guest, kTargetPageBytes}};
    copy_page(copy, guest);
    return {How::cached_page, {copy, kTargetPageBytes}};
  }
  counters_.pages.add(1);
  switch (encoder_.encode(copy, guest)) {
    case XbzrleEncoder::Outcome::unchanged:
      return {How::nothing, {}};
    case XbzrleEncoder::Outcome::patch:
      return {How::patch, encoder_.payload()};
    case XbzrleEncoder::Outcome::overflow:
      break;
  }
  counters_.overflow.add(1);
  counters_.bytes.add(kTargetPageBytes);
  return {How::cached_page, {copy, kTargetPageBytes}};
}

}  // namespace tern
