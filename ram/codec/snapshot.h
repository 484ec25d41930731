// SPDX-License-Identifier: Apache-2.0
//
// A copy of the pages of a packet, in one piece. Compressors look at their input more than once; a
// guest that writes between two looks would make a stream that does not decode.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

#include "ram/codec/page_codec.h"
#include "ram/simd/page_ops.h"

namespace tern {

class Snapshot {
 public:
  Snapshot() noexcept : bytes_(new std::byte[kBytes]) {}

  /// Valid until the next call.
  TERN_RACY_READS std::span<std::byte> take(PagePieces pages) noexcept {
    size_t n = 0;
    for (const auto piece : pages) {
      const size_t room = std::min(piece.size(), kBytes - n);
      std::memcpy(bytes_.get() + n, piece.data(), room);
      n += room;
    }
    return {bytes_.get(), n};
  }

 private:
  static constexpr size_t kBytes = kMultifdPages * kTargetPageBytes;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace tern
