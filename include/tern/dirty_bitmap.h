// SPDX-License-Identifier: Apache-2.0
//
// One bit per target page of every RAM block: which pages still have to be sent.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tern/ram_block.h"
#include "tern/version.h"

namespace tern {

/// A run of pages inside one block: [first, first + count).
struct PageRun {
  uint64_t first = 0;
  uint64_t count = 0;
};

/// Bits for one block. Word-parallel, with a summary level (one bit per 64 words, that is per 4096
/// pages or 16 MiB), so that an empty map of a large guest is scanned quickly.
/// Not thread-safe: one owner at a time.
class TERN_API BlockBitmap {
 public:
  BlockBitmap() noexcept = default;
  explicit BlockBitmap(uint64_t pages) noexcept;

  uint64_t pages() const noexcept { return pages_; }
  /// Number of set bits; kept up to date, O(1).
  uint64_t count() const noexcept { return count_; }
  bool test(uint64_t page) const noexcept;
  /// Returns true if the bit was clear before.
  bool set(uint64_t page) noexcept;
  /// Returns true if the bit was set before.
  bool clear(uint64_t page) noexcept;
  /// Returns how many bits in the range became set.
  uint64_t set_run(PageRun run) noexcept;
  /// Returns how many bits in the range became clear.
  uint64_t clear_run(PageRun run) noexcept;
  /// Ors 64 bits in at word index `word` (page = word * 64). Bits past pages() are ignored.
  /// Returns how many became set.
  uint64_t or_word(uint64_t word, uint64_t bits) noexcept;
  /// Ors another map of the same size in; returns how many became set.
  uint64_t or_map(const BlockBitmap& other) noexcept;
  /// Clears what is set in another map of the same size; returns how many became clear.
  uint64_t clear_map(const BlockBitmap& other) noexcept;
  /// How many bits are set here and in another map of the same size.
  uint64_t count_common(const BlockBitmap& other) const noexcept;
  /// The first run of set bits that starts at or after `from`, at most `max_pages` long.
  /// count == 0: there is none.
  PageRun next_run(uint64_t from, uint64_t max_pages) const noexcept;
  std::span<const uint64_t> words() const noexcept { return words_; }

 private:
  uint64_t word_mask(uint64_t word) const noexcept;
  void update_summary(uint64_t word) noexcept;

  uint64_t pages_ = 0;
  uint64_t count_ = 0;
  std::vector<uint64_t> words_;
  std::vector<uint64_t> summary_;
};

/// The maps of all blocks of a machine, in the order of Machine::ram.
class TERN_API DirtyBitmap {
 public:
  DirtyBitmap() noexcept = default;
  explicit DirtyBitmap(std::span<const RamBlock> blocks) noexcept;

  size_t blocks() const noexcept { return maps_.size(); }
  BlockBitmap& block(size_t index) noexcept { return maps_[index]; }
  const BlockBitmap& block(size_t index) const noexcept { return maps_[index]; }
  /// Set bits over all blocks.
  uint64_t count() const noexcept;
  /// Ors the maps of the same blocks in; returns how many bits became set.
  uint64_t or_maps(const DirtyBitmap& other) noexcept;
  /// Clears what is set in the maps of the same blocks; returns how many bits became clear.
  uint64_t clear_maps(const DirtyBitmap& other) noexcept;
  /// How many bits are set in both.
  uint64_t count_common(const DirtyBitmap& other) const noexcept;
  void clear_all() noexcept;

 private:
  std::vector<BlockBitmap> maps_;
};

}  // namespace tern
