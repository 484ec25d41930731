// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/marked_pages.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

namespace tern {

MarkedPages::BlockMarks::BlockMarks(uint64_t page_count) noexcept
    : pages(page_count),
      words((page_count + 63) / 64),
      summary((words.size() + kChunkWords - 1) / kChunkWords) {}

void MarkedPages::start(std::span<const RamBlock> blocks) noexcept {
  std::vector<std::unique_ptr<BlockMarks>> fresh;
  fresh.reserve(blocks.size());
  for (const RamBlock& block : blocks) {
    fresh.push_back(std::make_unique<BlockMarks>(block.used_bytes / kTargetPageBytes));
  }
  const std::unique_lock lock(gate_);
  blocks_.swap(fresh);
}

void MarkedPages::stop() noexcept {
  std::vector<std::unique_ptr<BlockMarks>> old;
  const std::unique_lock lock(gate_);
  blocks_.swap(old);
}

void MarkedPages::mark(size_t block, uint64_t offset, uint64_t bytes) noexcept {
  const std::shared_lock lock(gate_);
  if (block >= blocks_.size()) return;
  BlockMarks& marks = *blocks_[block];
  const uint64_t block_bytes = marks.pages * kTargetPageBytes;
  if (bytes == 0 || offset >= block_bytes) return;
  const uint64_t end = offset + std::min(bytes, block_bytes - offset);
  const uint64_t last_page = (end - 1) / kTargetPageBytes;
  for (uint64_t page = offset / kTargetPageBytes; page <= last_page;) {
    const uint64_t word = page / 64;
    const uint64_t word_end = std::min(word * 64 + 63, last_page);
    const uint64_t bits = (~uint64_t{0} >> (63 - (word_end - page))) << (page % 64);
    // Release: pairs with the exchange in take_chunk, so that the marked bytes are seen by who
    // sends them.
    marks.words[word].fetch_or(bits, std::memory_order_release);
    marks.summary[word / kChunkWords].fetch_or(uint64_t{1} << (word % kChunkWords),
                                               std::memory_order_release);
    page = word_end + 1;
  }
}

uint64_t MarkedPages::chunks(size_t block) const noexcept { return blocks_[block]->summary.size(); }

bool MarkedPages::chunk_may_have_marks(size_t block, uint64_t chunk) const noexcept {
  return blocks_[block]->summary[chunk].load(std::memory_order_acquire) != 0;
}

bool MarkedPages::take_chunk(size_t block, uint64_t chunk, Chunk& taken) noexcept {
  BlockMarks& marks = *blocks_[block];
  taken.fill(0);
  // Acquire, both times: pairs with the releases in mark.
  uint64_t left = marks.summary[chunk].exchange(0, std::memory_order_acquire);
  uint64_t any = 0;
  for (; left != 0; left &= left - 1) {
    const auto word = static_cast<uint64_t>(std::countr_zero(left));
    taken[word] = marks.words[chunk * kChunkWords + word].exchange(0, std::memory_order_acquire);
    any |= taken[word];
  }
  return any != 0;
}

uint64_t MarkedPages::harvest(DirtyBitmap& into) noexcept {
  uint64_t added = 0;
  Chunk taken;
  for (size_t block = 0; block < blocks_.size(); ++block) {
    for (uint64_t chunk = 0; chunk < chunks(block); ++chunk) {
      if (!chunk_may_have_marks(block, chunk) || !take_chunk(block, chunk, taken)) continue;
      for (uint64_t word = 0; word < kChunkWords; ++word) {
        if (taken[word] == 0) continue;
        added += into.block(block).or_word(chunk * kChunkWords + word, taken[word]);
      }
    }
  }
  return added;
}

}  // namespace tern
