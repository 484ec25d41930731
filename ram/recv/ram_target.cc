// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_target.h"

#include <sys/mman.h>

#include <cstring>

namespace tern {
namespace {

// MADV_POPULATE_WRITE of Linux 5.14; the headers of older systems do not have it.
constexpr int kPopulateWrite = 23;
constexpr uint64_t kWorthACall = 16;  // pages

}  // namespace

void RamTarget::prepare(size_t block, PageRun run) noexcept {
  if (run.count < kWorthACall || is_marked(block, run.first)) return;
  if (!can_populate_.load(std::memory_order_relaxed)) return;
  // It is a hint: what cannot be populated now fails, or does not, when it is written.
  if (::madvise(memory_.page(block, run.first), run.count * kTargetPageBytes, kPopulateWrite) !=
      0) {
    can_populate_.store(false, std::memory_order_relaxed);
  }
}

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
