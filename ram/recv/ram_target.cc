// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_target.h"

#include <cstring>

namespace tern {

void RamTarget::zero_page(size_t block, uint64_t page) noexcept {
  if (!maybe_nonzero_.take(block, page)) return;
  std::byte* data = memory_.page(block, page);
  if (!ops_.is_zero(data, kTargetPageBytes)) std::memset(data, 0, kTargetPageBytes);
}

void RamTarget::zero_run(size_t block, PageRun run) noexcept {
  const uint64_t end = run.first + run.count;
  for (uint64_t page = maybe_nonzero_.next(block, run.first, end); page < end;
       page = maybe_nonzero_.next(block, page + 1, end)) {
    zero_page(block, page);
  }
}

}  // namespace tern
