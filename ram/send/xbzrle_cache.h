// SPDX-License-Identifier: Apache-2.0
//
// XbzrleCache: copies of pages that the destination has, for XBZRLE to compare with. A page is
// looked for in a set of eight places, so that two hot pages whose numbers collide do not shut each
// other out. Knows nothing of what is sent: whoever uses it keeps each copy equal, byte for byte,
// to what the destination was sent last.
//
// Memory: `bytes` of copies, which the kernel provides as they are used, and 12 bytes for each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

/// One thread.
class XbzrleCache {
 public:
  /// A cache of size 0, which takes nothing.
  XbzrleCache() noexcept = default;
  /// `bytes`: a power of two, at least a page. Errors: resource_exhausted.
  static Result<XbzrleCache> create(uint64_t bytes) noexcept;
  ~XbzrleCache();
  XbzrleCache(XbzrleCache&& other) noexcept;
  XbzrleCache& operator=(XbzrleCache&& other) noexcept;

  uint64_t bytes() const noexcept { return slots_ * kTargetPageBytes; }

  /// The copy of a page, counted as used in `round`; nullptr: there is none. Valid until another
  /// page takes its place, which is never in this round nor in the next.
  std::byte* find(uint64_t page, uint32_t round) noexcept;
  /// Room for the copy of a page that is not in the cache; the caller fills it. nullptr: every page
  /// that would have to go was used in this round or in the one before. Rounds begin with 1.
  std::byte* insert(uint64_t page, uint32_t round) noexcept;
  /// Copies what fits out of `other`; of pages that want the same place those used last stay.
  void take_over(const XbzrleCache& other) noexcept;

 private:
  static constexpr uint64_t kWays = 8;

  uint64_t first_slot(uint64_t page) const noexcept { return page % sets_ * ways_; }
  uint64_t oldest_slot(uint64_t page) const noexcept;
  std::byte* slot(uint64_t index) const noexcept { return data_ + index * kTargetPageBytes; }

  std::byte* data_ = nullptr;    // slots_ pages
  uint64_t* pages_ = nullptr;    // number of the page + 1; 0: empty
  uint32_t* used_in_ = nullptr;  // round
  uint64_t slots_ = 0;
  uint64_t ways_ = 1;
  uint64_t sets_ = 1;
};

}  // namespace tern
