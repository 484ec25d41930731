// SPDX-License-Identifier: Apache-2.0
//
// What is left of a list of pieces after a system call that took only some bytes of it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace tern {

/// Drops the first `bytes` of the pieces; the list itself is changed.
inline void advance(std::span<iovec>& pieces, size_t bytes) noexcept {
  while (!pieces.empty() && bytes >= pieces.front().iov_len) {
    bytes -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (bytes == 0 || pieces.empty()) return;
  pieces.front().iov_base = static_cast<std::byte*>(pieces.front().iov_base) + bytes;
  pieces.front().iov_len -= bytes;
}

}  // namespace tern
