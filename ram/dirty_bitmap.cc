// SPDX-License-Identifier: Apache-2.0
//
// BlockBitmap: one bit per target page, word-parallel, with a summary bit per word. Knows nothing
// of where dirt comes from or goes to.
//
// Layout: summary_[s] bit b is set exactly when words_[s * 64 + b] is not 0. One summary word
// therefore stands for 4096 pages (16 MiB); the summary of 1 TiB is 512 KiB, which is why an empty
// map is scanned at cache speed. Bits past pages() are never set: every entry point clips, and
// nothing below has to mask again.

#include "tern/dirty_bitmap.h"

#include <algorithm>
#include <bit>

namespace tern {
namespace {

constexpr uint64_t kBits = 64;
constexpr uint64_t kAllOnes = ~uint64_t{0};

constexpr uint64_t words_for(uint64_t bits) noexcept { return bits / kBits + (bits % kBits != 0); }

/// Whole words are the common case of long runs, and without the POPCNT instruction (not in
/// baseline x86-64) counting takes a dozen operations.
constexpr uint64_t popcount(uint64_t bits) noexcept {
  return bits == kAllOnes ? kBits : static_cast<uint64_t>(std::popcount(bits));
}

constexpr uint64_t trailing_zeros(uint64_t bits) noexcept {
  return static_cast<uint64_t>(std::countr_zero(bits));
}

/// The bits of [first, last) that lie in word `word`; the range must touch that word.
constexpr uint64_t range_mask(uint64_t word, uint64_t first, uint64_t last) noexcept {
  const uint64_t base = word * kBits;
  uint64_t mask = kAllOnes;
  if (first > base) mask &= kAllOnes << (first - base);
  if (last - base < kBits) mask &= kAllOnes >> (kBits - (last - base));
  return mask;
}

/// Where `run` ends, clipped to `pages`; safe against first + count running over.
constexpr uint64_t clipped_end(PageRun run, uint64_t pages) noexcept {
  if (run.first >= pages) return run.first;
  return run.first + std::min(run.count, pages - run.first);
}

}  // namespace

BlockBitmap::BlockBitmap(uint64_t pages) noexcept
    : pages_(pages), words_(words_for(pages)), summary_(words_for(words_.size())) {}

uint64_t BlockBitmap::word_mask(uint64_t word) const noexcept {
  const uint64_t left = pages_ - word * kBits;
  return left >= kBits ? kAllOnes : kAllOnes >> (kBits - left);
}

void BlockBitmap::update_summary(uint64_t word) noexcept {
  const uint64_t bit = uint64_t{1} << (word % kBits);
  uint64_t& summary = summary_[word / kBits];
  summary = words_[word] != 0 ? summary | bit : summary & ~bit;
}

bool BlockBitmap::test(uint64_t page) const noexcept {
  return page < pages_ && (words_[page / kBits] >> (page % kBits) & 1) != 0;
}

bool BlockBitmap::set(uint64_t page) noexcept {
  return page < pages_ && or_word(page / kBits, uint64_t{1} << (page % kBits)) != 0;
}

bool BlockBitmap::clear(uint64_t page) noexcept {
  if (!test(page)) return false;
  words_[page / kBits] &= ~(uint64_t{1} << (page % kBits));
  --count_;
  update_summary(page / kBits);
  return true;
}

uint64_t BlockBitmap::set_run(PageRun run) noexcept {
  const uint64_t last = clipped_end(run, pages_);
  uint64_t added = 0;
  for (uint64_t page = run.first; page < last;) {
    const uint64_t word = page / kBits;
    added += or_word(word, range_mask(word, run.first, last));
    page = (word + 1) * kBits;
  }
  return added;
}

uint64_t BlockBitmap::clear_run(PageRun run) noexcept {
  const uint64_t last = clipped_end(run, pages_);
  uint64_t removed = 0;
  for (uint64_t page = run.first; page < last;) {
    const uint64_t word = page / kBits;
    if (word % kBits == 0 && summary_[word / kBits] == 0) {  // 4096 pages that are clear already
      page = (word + kBits) * kBits;
      continue;
    }
    const uint64_t gone = words_[word] & range_mask(word, run.first, last);
    if (gone != 0) {
      removed += popcount(gone);
      words_[word] &= ~gone;
      update_summary(word);
    }
    page = (word + 1) * kBits;
  }
  count_ -= removed;
  return removed;
}

uint64_t BlockBitmap::or_word(uint64_t word, uint64_t bits) noexcept {
  if (word >= words_.size()) return 0;
  const uint64_t fresh = bits & word_mask(word) & ~words_[word];
  if (fresh == 0) return 0;
  words_[word] |= fresh;
  summary_[word / kBits] |= uint64_t{1} << (word % kBits);
  const uint64_t added = popcount(fresh);
  count_ += added;
  return added;
}

uint64_t BlockBitmap::or_map(const BlockBitmap& other) noexcept {
  uint64_t added = 0;
  const uint64_t summaries = std::min(summary_.size(), other.summary_.size());
  for (uint64_t s = 0; s < summaries; ++s) {
    for (uint64_t left = other.summary_[s]; left != 0; left &= left - 1) {
      const uint64_t word = s * kBits + trailing_zeros(left);
      added += or_word(word, other.words_[word]);
    }
  }
  return added;
}

uint64_t BlockBitmap::clear_map(const BlockBitmap& other) noexcept {
  uint64_t removed = 0;
  const uint64_t summaries = std::min(summary_.size(), other.summary_.size());
  for (uint64_t s = 0; s < summaries; ++s) {
    for (uint64_t left = summary_[s] & other.summary_[s]; left != 0; left &= left - 1) {
      const uint64_t word = s * kBits + trailing_zeros(left);
      const uint64_t gone = words_[word] & other.words_[word];
      if (gone == 0) continue;
      removed += popcount(gone);
      words_[word] &= ~gone;
      update_summary(word);
    }
  }
  count_ -= removed;
  return removed;
}

uint64_t BlockBitmap::count_common(const BlockBitmap& other) const noexcept {
  uint64_t common = 0;
  const uint64_t summaries = std::min(summary_.size(), other.summary_.size());
  for (uint64_t s = 0; s < summaries; ++s) {
    for (uint64_t left = summary_[s] & other.summary_[s]; left != 0; left &= left - 1) {
      const uint64_t word = s * kBits + trailing_zeros(left);
      common += popcount(words_[word] & other.words_[word]);
    }
  }
  return common;
}

PageRun BlockBitmap::next_run(uint64_t from, uint64_t max_pages) const noexcept {
  if (from >= pages_ || max_pages == 0 || count_ == 0) return {};
  // The first set bit: the rest of the word of `from`, then the rest of its summary word, then
  // whole summary words.
  uint64_t word = from / kBits;
  uint64_t bits = words_[word] & (kAllOnes << (from % kBits));
  if (bits == 0) {
    uint64_t s = word / kBits;
    // Two steps, because a shift by 64 (word is the last of its summary word) is undefined.
    uint64_t candidates = summary_[s] & (kAllOnes << (word % kBits) << 1);
    while (candidates == 0) {
      if (++s == summary_.size()) return {};
      candidates = summary_[s];
    }
    word = s * kBits + trailing_zeros(candidates);
    bits = words_[word];
  }
  const uint64_t first = word * kBits + trailing_zeros(bits);
  const uint64_t limit = std::min(max_pages, pages_ - first);

  // Its length: ones to the end of this word, then whole words of ones, then the ones the last word
  // begins with.
  uint64_t count = static_cast<uint64_t>(std::countr_one(words_[word] >> (first % kBits)));
  if (first % kBits + count == kBits) {
    while (count < limit && words_[++word] == kAllOnes) count += kBits;
    if (count < limit) count += static_cast<uint64_t>(std::countr_one(words_[word]));
  }
  return {first, std::min(count, limit)};
}

DirtyBitmap::DirtyBitmap(std::span<const RamBlock> blocks) noexcept {
  maps_.reserve(blocks.size());
  for (const RamBlock& block : blocks) maps_.emplace_back(block.used_bytes / kTargetPageBytes);
}

uint64_t DirtyBitmap::or_maps(const DirtyBitmap& other) noexcept {
  uint64_t added = 0;
  for (size_t b = 0; b < std::min(maps_.size(), other.maps_.size()); ++b) {
    added += maps_[b].or_map(other.maps_[b]);
  }
  return added;
}

uint64_t DirtyBitmap::clear_maps(const DirtyBitmap& other) noexcept {
  uint64_t removed = 0;
  for (size_t b = 0; b < std::min(maps_.size(), other.maps_.size()); ++b) {
    removed += maps_[b].clear_map(other.maps_[b]);
  }
  return removed;
}

uint64_t DirtyBitmap::count_common(const DirtyBitmap& other) const noexcept {
  uint64_t common = 0;
  for (size_t b = 0; b < std::min(maps_.size(), other.maps_.size()); ++b) {
    common += maps_[b].count_common(other.maps_[b]);
  }
  return common;
}

void DirtyBitmap::clear_all() noexcept {
  for (BlockBitmap& map : maps_) map.clear_run({0, map.pages()});
}

uint64_t DirtyBitmap::count() const noexcept {
  uint64_t total = 0;
  for (const BlockBitmap& map : maps_) total += map.count();
  return total;
}

}  // namespace tern
