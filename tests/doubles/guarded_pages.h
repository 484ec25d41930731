// SPDX-License-Identifier: Apache-2.0
//
// GuardedPages: memory between pages that nobody may touch: one byte too far ends the test.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>

#include "tern/ram_block.h"

namespace tern::test {

class GuardedPages {
 public:
  explicit GuardedPages(size_t pages) : bytes_(pages * kTargetPageBytes) {
    void* p = mmap(nullptr, bytes_ + 2 * kTargetPageBytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    data_ = static_cast<std::byte*>(p) + kTargetPageBytes;
    if (mprotect(data_, bytes_, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  ~GuardedPages() { munmap(data_ - kTargetPageBytes, bytes_ + 2 * kTargetPageBytes); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  std::byte* data() const { return data_; }
  size_t pages() const { return bytes_ / kTargetPageBytes; }
  std::span<std::byte> all() const { return {data_, bytes_}; }
  std::span<std::byte> page(size_t index, size_t count = 1) const {
    return {data_ + index * kTargetPageBytes, count * kTargetPageBytes};
  }
  void fill(unsigned value) const { std::memset(data_, static_cast<int>(value), bytes_); }
  /// Gives the memory back to the kernel: it is zero again.
  std::byte* fresh() const {
    madvise(data_, bytes_, MADV_DONTNEED);
    return data_;
  }

 private:
  size_t bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace tern::test
