// SPDX-License-Identifier: Apache-2.0
//
// MarkedPages: pages that somebody SAID are dirty, from any thread, collected until the next
// harvest. Every tracker owns one for DirtyTracker::mark(). Knows nothing of kernels and faults.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

#include "tern/dirty_bitmap.h"
#include "tern/ram_block.h"

namespace tern {

/// Thread rules: mark from any thread at any time; the rest on one thread.
class MarkedPages {
 public:
  /// Pages are taken out in chunks of one summary word: 64 words, 4096 pages, 16 MiB.
  static constexpr uint64_t kChunkWords = 64;
  static constexpr uint64_t kChunkPages = kChunkWords * 64;
  using Chunk = std::array<uint64_t, kChunkWords>;

  /// Begins to collect, with nothing marked.
  void start(std::span<const RamBlock> blocks) noexcept;
  /// Forgets everything; marks have no effect from here on.
  void stop() noexcept;

  /// Marks every page that [offset, offset + bytes) touches. Without effect while stopped, and for
  /// what lies outside the block. What the caller wrote before is visible to whoever takes the mark
  /// out.
  void mark(size_t block, uint64_t offset, uint64_t bytes) noexcept;

  /// Takes all marks out into `into` (of the same shape); returns how many bits became set there.
  uint64_t harvest(DirtyBitmap& into) noexcept;

  uint64_t chunks(size_t block) const noexcept;
  /// Whether take_chunk may find something. A mark made before the call is seen.
  bool chunk_may_have_marks(size_t block, uint64_t chunk) const noexcept;
  /// Moves the marks of one chunk out, into `taken`. Returns false (and `taken` is all zeros) if
  /// there are none.
  bool take_chunk(size_t block, uint64_t chunk, Chunk& taken) noexcept;

 private:
  struct BlockMarks {
    explicit BlockMarks(uint64_t pages) noexcept;
    uint64_t pages;
    std::vector<std::atomic<uint64_t>> words;
    /// Bit b of summary[s]: words[s * 64 + b] may be non-zero. Set after the word, cleared before
    /// it is taken; so a mark is never hidden, at worst a later harvest looks at a word that is
    /// empty.
    std::vector<std::atomic<uint64_t>> summary;
  };

  /// Held shared while marking, exclusively by start and stop for no longer than swapping blocks_
  /// takes.
  std::shared_mutex gate_;
  std::vector<std::unique_ptr<BlockMarks>> blocks_;
};

}  // namespace tern
