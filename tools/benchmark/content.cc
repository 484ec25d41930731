// SPDX-License-Identifier: Apache-2.0
#include "tools/benchmark/content.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace tern::bench {
namespace {

constexpr uint64_t kSeed = 0x7465726e;  // "tern"

/// SplitMix64: any start value is a good one, so that each page can have a generator of its own.
class Random {
 public:
  explicit Random(uint64_t state) : state_(state) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t limit) { return next() % limit; }

 private:
  uint64_t state_;
};

/// Words of two to four syllables, so that a compressor finds what it finds in a language.
const std::vector<std::string>& vocabulary() {
  static const std::vector<std::string> words = [] {
    constexpr std::array<std::string_view, 24> kSyllables = {
        "ta",   "re",  "ni", "so", "lu", "ker", "mon", "dis", "pa",  "vel", "tri", "con",
        "ment", "ing", "er", "al", "is", "qu",  "or",  "an",  "ple", "sta", "fi",  "ga"};
    Random random(kSeed);
    std::vector<std::string> made(4096);
    for (auto& word : made) {
      for (uint64_t n = 2 + random.below(3); n > 0; --n) {
        word += kSyllables[random.below(kSyllables.size())];
      }
      word += random.below(12) == 0 ? ".\n" : " ";
    }
    return made;
  }();
  return words;
}

void write_text(Random& random, std::byte* page) {
  const auto& words = vocabulary();
  for (uint64_t at = 0; at < kPageBytes;) {
    // Frequent words are more frequent, as in a language: the rank is the product of two draws.
    const uint64_t r = random.next();
    const uint64_t rank = ((r & 0xfff) * ((r >> 12) & 0xfff)) >> 12;
    const std::string& word = words[rank];
    const uint64_t n = std::min<uint64_t>(word.size(), kPageBytes - at);
    std::memcpy(page + at, word.data(), n);
    at += n;
  }
}

/// Objects of 64 bytes as a kernel's slab has them: pointers into one region, counters, flags,
/// zeros.
void write_pointers(Random& random, std::byte* page) {
  const uint64_t region = 0xffff888000000000 + (random.below(1 << 18) << 18);
  for (uint64_t at = 0; at < kPageBytes; at += 64) {
    const uint64_t r = random.next();
    const std::array<uint64_t, 8> object = {region + ((r & 0x3fff) << 4),
                                            region + (((r >> 14) & 0x3fff) << 4),
                                            0xffffffff81000000 + (((r >> 28) & 0xff) << 6),
                                            (r >> 36) & 0xff,
                                            0,
                                            region + (((r >> 44) & 0x3fff) << 4),
                                            (r >> 58) & 3,
                                            0};
    std::memcpy(page + at, object.data(), sizeof object);
  }
}

/// Runs of one kind, 16 to 256 pages long: memory is used in pieces, not page by page.
void lay_out_mixed(std::vector<PageKind>& pages) {
  Random random(kSeed + 1);
  for (uint64_t at = 0; at < pages.size();) {
    const uint64_t percent = random.below(100);
    const PageKind kind = percent < 35   ? PageKind::zero
                          : percent < 60 ? PageKind::text
                          : percent < 85 ? PageKind::pointers
                                         : PageKind::random;
    const uint64_t n = std::min<uint64_t>(16 + random.below(241), pages.size() - at);
    std::fill_n(pages.begin() + static_cast<ptrdiff_t>(at), n, kind);
    at += n;
  }
}

/// In every 640 pages one piece of 64 has data.
void lay_out_sparse(std::vector<PageKind>& pages) {
  constexpr uint64_t kPiece = 64;
  Random random(kSeed + 2);
  for (uint64_t at = 0; at < pages.size(); at += 10 * kPiece) {
    const uint64_t start = std::min(at + kPiece * random.below(10), pages.size());
    const uint64_t end = std::min(start + kPiece, pages.size());
    for (uint64_t i = start; i < end; ++i) pages[i] = PageKind::random;
  }
}

}  // namespace

std::string_view to_string(PageKind kind) {
  constexpr std::array<std::string_view, kPageKinds> kNames = {"zero", "text", "pointers", "random",
                                                               "hole"};
  return kNames[static_cast<size_t>(kind)];
}

std::vector<PageKind> lay_out(std::string_view content, uint64_t pages) {
  if (content == "zero") return std::vector(pages, PageKind::zero);
  if (content == "random") return std::vector(pages, PageKind::random);
  if (content == "text") return std::vector(pages, PageKind::text);
  std::vector<PageKind> layout;
  if (content == "mixed") {
    layout.resize(pages);
    lay_out_mixed(layout);
  } else if (content == "sparse") {
    layout.assign(pages, PageKind::hole);
    lay_out_sparse(layout);
  }
  return layout;
}

void write_page(PageKind kind, uint64_t index, std::byte* page) {
  Random random(kSeed * 0x9e3779b97f4a7c15 + index * 0xd1342543de82ef95);
  switch (kind) {
    case PageKind::zero:
      std::memset(page, 0, kPageBytes);
      return;
    case PageKind::text:
      return write_text(random, page);
    case PageKind::pointers:
      return write_pointers(random, page);
    case PageKind::random:
      for (uint64_t at = 0; at < kPageBytes; at += 8) {
        const uint64_t value = random.next();
        std::memcpy(page + at, &value, sizeof value);
      }
      return;
    case PageKind::hole:
      return;
  }
}

}  // namespace tern::bench
