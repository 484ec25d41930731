// SPDX-License-Identifier: Apache-2.0
//
// A set of pages of all blocks that several threads add to and take from at once. Unlike
// DirtyBitmap it counts nothing and finds nothing quickly; each page is a bit, changed atomically.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "tern/dirty_bitmap.h"

namespace tern {

/// Thread rules: every function may be called from any thread. It orders nothing else: who must see
/// what another thread did before it set a bit needs a barrier of its own.
class PageSet {
 public:
  explicit PageSet(const DirtyBitmap& from) noexcept {
    for (size_t b = 0; b < from.blocks(); ++b) {
      const auto words = from.block(b).words();
      Block block{std::make_unique<std::atomic<uint64_t>[]>(words.size()), words.size()};
      for (size_t i = 0; i < words.size(); ++i) {
        block.words[i].store(words[i], std::memory_order_relaxed);
      }
      blocks_.push_back(std::move(block));
    }
  }

  void add(size_t block, PageRun run) noexcept {
    while (run.count != 0) {
      const uint64_t shift = run.first % 64;
      const uint64_t count = std::min<uint64_t>(64 - shift, run.count);
      const uint64_t bits = (count == 64 ? ~0ull : (1ull << count) - 1) << shift;
      std::atomic<uint64_t>& word = blocks_[block].words[run.first / 64];
      // Most pages of a second pass are in it: no bus traffic for them.
      if ((word.load(std::memory_order_relaxed) & bits) != bits) {
        word.fetch_or(bits, std::memory_order_relaxed);
      }
      run.first += count;
      run.count -= count;
    }
  }

  /// Takes the page out; whether it was in.
  bool take(size_t block, uint64_t page) noexcept {
    std::atomic<uint64_t>& word = blocks_[block].words[page / 64];
    const uint64_t bit = 1ull << page % 64;
    if ((word.load(std::memory_order_relaxed) & bit) == 0) return false;
    return (word.fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
  }

  bool contains(size_t block, uint64_t page) const noexcept {
    return (blocks_[block].words[page / 64].load(std::memory_order_relaxed) >> page % 64 & 1) != 0;
  }

  /// The first page of the set in [from, end), or `end`.
  uint64_t next(size_t block, uint64_t from, uint64_t end) const noexcept {
    while (from < end) {
      const uint64_t word =
          blocks_[block].words[from / 64].load(std::memory_order_relaxed) >> from % 64;
      if (word != 0) return std::min(end, from + static_cast<uint64_t>(std::countr_zero(word)));
      from = (from / 64 + 1) * 64;
    }
    return end;
  }

 private:
  struct Block {
    std::unique_ptr<std::atomic<uint64_t>[]> words;
    size_t count = 0;
  };
  std::vector<Block> blocks_;
};

}  // namespace tern
