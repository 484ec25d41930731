// SPDX-License-Identifier: Apache-2.0
//
// What of a caller's slices one system call can take.
#pragma once

#include <sys/uio.h>

#include <climits>
#include <cstddef>
#include <span>

namespace tern::transport {

/// Most slices one call takes (Channel::write_some).
constexpr size_t kMaxSlices = IOV_MAX;

/// The slices from the first that has bytes, at most IOV_MAX of them (more would be EMSGSIZE or
/// EINVAL). Empty if there is nothing to write.
inline std::span<const iovec> writable_slices(std::span<const iovec> slices) noexcept {
  size_t first = 0;
  while (first < slices.size() && slices[first].iov_len == 0) ++first;
  slices = slices.subspan(first);
  return slices.first(slices.size() < kMaxSlices ? slices.size() : kMaxSlices);
}

}  // namespace tern::transport
