// SPDX-License-Identifier: Apache-2.0
//
// XbzrleStage: says how a dirty page travels that is not zero: as it is, as a patch of what the
// destination has, or not at all because nothing changed. It keeps the cache equal to the
// destination: what is sent of a cached page is the cached copy, never the guest's page, which may
// change before it leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ram/codec/xbzrle.h"
#include "ram/guest_memory.h"
#include "ram/send/xbzrle_cache.h"
#include "ram/simd/page_ops.h"
#include "stats/ram_counters.h"
#include "tern/result.h"

namespace tern {

/// One thread (mig/src/main).
class XbzrleStage {
 public:
  XbzrleStage(const GuestMemory& memory, XbzrleCounters& counters, const PageOps& ops) noexcept;

  /// Also while it is on: what fits stays. More than the guest's RAM is never taken. Nothing that a
  /// decision referred to may be waiting to be sent. Errors: resource_exhausted; then it is as it
  /// was.
  Result<void> set_cache_size(uint64_t bytes) noexcept;
  uint64_t cache_size() const noexcept { return wanted_bytes_; }

  /// From here on pages may have been sent before: it is off in the first pass, in which a cache
  /// would only fill with pages that nobody writes.
  void turn_on() noexcept { on_ = true; }
  bool is_on() const noexcept { return on_; }
  /// There was a dirty sync.
  void begin_round() noexcept { ++round_; }
  /// No page will be sent again: none is copied for a next time.
  void begin_last_round() noexcept { last_ = true; }

  /// A zero record is sent for the page.
  void sent_as_zero(size_t block, uint64_t page) noexcept;

  enum class How {
    guest_page,   // as it is, not cached
    cached_page,  // `bytes` is the copy, which stands until the round after the next
    patch,        // `bytes` is the payload, until the next decision
    nothing,      // the destination has it
  };
  struct Decision {
    How how;
    std::span<const std::byte> bytes;
  };
  /// For a page that is not zero, which will be sent so. Every byte of it is read once.
  Decision decide(size_t block, uint64_t page) noexcept;
  /// What a patch took in the stream, without the record's word.
  void sent_patch(uint64_t bytes) noexcept { counters_.bytes.add(bytes); }

 private:
  uint64_t number(size_t block, uint64_t page) const noexcept { return first_page_[block] + page; }

  const GuestMemory& memory_;
  XbzrleCounters& counters_;
  XbzrleEncoder encoder_;
  XbzrleCache cache_;
  std::vector<uint64_t> first_page_;  // of each block, all blocks numbered together
  uint64_t all_pages_ = 0;
  uint64_t wanted_bytes_ = 0;
  uint32_t round_ = 1;
  bool on_ = false;
  bool last_ = false;
};

}  // namespace tern
