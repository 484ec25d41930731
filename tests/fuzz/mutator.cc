// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/mutator.h"

#include <algorithm>
#include <array>

#include "tools/tern/inspect.h"
#include "tools/tern/inspect_input.h"

namespace tern::fuzz {
namespace {

// Remembers offsets and nothing else.
class PlaceCollector final : public tool::InspectOutput {
 public:
  std::vector<size_t> places;
  void begin(std::string_view) noexcept override {}
  void open(uint64_t offset, std::string_view, const tool::Json&) noexcept override {
    places.push_back(offset);
  }
  void record(uint64_t offset, const tool::Json&) noexcept override { places.push_back(offset); }
  void close(const tool::Json&) noexcept override {}
  void end(const tool::Json&, const std::optional<tool::Failure>&) noexcept override {}
};

// Numbers that break what counts: signs, limits, the stream's own words.
constexpr std::array<uint64_t, 34> kNumbers = {0,
                                               1,
                                               2,
                                               3,
                                               4,
                                               5,
                                               6,
                                               7,
                                               8,
                                               0x10,
                                               0x20,
                                               0x7e,
                                               0x7f,
                                               0x80,
                                               0xff,
                                               0x100,
                                               0x200,
                                               0x7fff,
                                               0x8000,
                                               0xffff,
                                               0x1000,
                                               0xfff,
                                               0x100000,
                                               0xfffff000,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               0x100000000,
                                               0x7fffffffffffffff,
                                               0x8000000000000000,
                                               0xffffffffffffffff,
                                               0xfffffffffffff000,
                                               0x5445524e,
                                               0x0600};

}  // namespace

uint64_t Random::next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::vector<size_t> find_places(std::span<const std::byte> bytes) {
  tool::InspectOptions options;
  options.verbose = true;
  PlaceCollector collector;
  tool::MemoryInput input(bytes);
  // A seed may be cut: then the places before the cut.
  const auto failure = tool::inspect(input, options, collector);
  std::vector<size_t> places = std::move(collector.places);
  if (failure && places.empty()) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      static constexpr std::string_view kPunctuation = "{}[]:,=\"";
      if (kPunctuation.find(static_cast<char>(bytes[i])) != std::string_view::npos)
        places.push_back(i);
    }
  }
  for (size_t i = 0; i + 5 <= bytes.size(); ++i) {
    const bool footer =
        bytes[i] == std::byte{0x7e} && bytes[i + 1] == std::byte{0} && bytes[i + 2] == std::byte{0};
    if (footer) places.push_back(i);
  }
  if (places.empty()) places.push_back(0);
  return places;
}

size_t Mutator::place(const Seed& from, size_t size) {
  if (size == 0) return 0;
  if (random_.below(2) == 0) return random_.below(size);
  const size_t at = from.places[random_.below(from.places.size())] + random_.below(24);
  return std::min(at, size - 1);
}

void Mutator::put_integer(std::vector<std::byte>& bytes, size_t at) {
  static constexpr std::array<size_t, 4> kWidths = {1, 2, 4, 8};
  const size_t width = std::min(kWidths[random_.below(kWidths.size())], bytes.size() - at);
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  switch (random_.below(4)) {
    case 0:
      value += 1 + random_.below(8);
      break;
    case 1:
      value -= 1 + random_.below(8);
      break;
    case 2:
      value ^= uint64_t{1} << random_.below(8 * width);
      break;
    default:
      value = kNumbers[random_.below(kNumbers.size())];
      break;
  }
  for (size_t i = width; i-- > 0; value >>= 8) bytes[at + i] = static_cast<std::byte>(value & 0xff);
}

void Mutator::splice(std::vector<std::byte>& bytes) {
  const Seed& other = seeds_[random_.below(seeds_.size())];
  if (other.bytes.empty()) return;
  const size_t from = std::min(place(other, other.bytes.size()), other.bytes.size() - 1);
  const size_t n = 1 + random_.below(std::min<size_t>(other.bytes.size() - from, 512));
  const size_t to = random_.below(bytes.size() + 1);
  const auto piece = std::span(other.bytes).subspan(from, n);
  if (random_.below(2) == 0) {
    bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(to), piece.begin(), piece.end());
  } else {
    bytes.resize(to);
    bytes.insert(bytes.end(), other.bytes.begin() + static_cast<ptrdiff_t>(from),
                 other.bytes.end());
  }
}

// Takes a piece out, doubles it, or puts it somewhere else.
void Mutator::move_piece(std::vector<std::byte>& bytes, size_t at) {
  const size_t n = 1 + random_.below(std::min<size_t>(bytes.size() - at, 64));
  const auto begin = bytes.begin() + static_cast<ptrdiff_t>(at);
  const std::vector<std::byte> piece(begin, begin + static_cast<ptrdiff_t>(n));
  const uint64_t what = random_.below(3);
  if (what != 0) bytes.erase(begin, begin + static_cast<ptrdiff_t>(n));
  if (what == 1) return;
  const size_t to = what == 0 ? at : random_.below(bytes.size() + 1);
  bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(to), piece.begin(), piece.end());
}

void Mutator::edit(const Seed& from, std::vector<std::byte>& bytes) {
  if (bytes.empty()) {
    bytes.push_back(static_cast<std::byte>(random_.next() & 0xff));
    return;
  }
  const size_t at = place(from, bytes.size());
  switch (random_.below(8)) {
    case 0:
      bytes[at] ^= static_cast<std::byte>(1u << random_.below(8));
      break;
    case 1:
      bytes[at] = static_cast<std::byte>(random_.next() & 0xff);
      break;
    case 2:
    case 3:
    case 4:
      put_integer(bytes, at);
      break;
    case 5:
      move_piece(bytes, at);
      break;
    case 6:
      splice(bytes);
      break;
    default:
      bytes.resize(at);
      break;
  }
}

std::vector<std::byte> Mutator::next(size_t max_bytes) {
  const Seed& from = seeds_[random_.below(seeds_.size())];
  std::vector<std::byte> bytes = from.bytes;
  const uint64_t edits = uint64_t{1} << random_.below(4);
  for (uint64_t i = 0; i < edits; ++i) edit(from, bytes);
  if (bytes.size() > max_bytes) bytes.resize(max_bytes);
  return bytes;
}

}  // namespace tern::fuzz
