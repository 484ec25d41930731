// SPDX-License-Identifier: Apache-2.0
//
// Mutator: makes hostile inputs out of good ones, the same ones for the same seed. Half of its
// edits go to the places where the format has its items, heads and lengths; the rest anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tern::fuzz {

/// splitmix64: a number from a number, on every machine the same.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// 0 … n-1; n > 0.
  uint64_t below(uint64_t n) { return next() % n; }

 private:
  uint64_t state_;
};

struct Seed {
  std::string name;
  std::vector<std::byte> bytes;
  std::vector<size_t> places;  // offsets where the format has something to say
};

/// The places of a stream, channel or return path: where `tern inspect` saw items and records
/// begin, and what ends sections. Of other seeds: where there is punctuation.
std::vector<size_t> find_places(std::span<const std::byte> bytes);

class Mutator {
 public:
  Mutator(std::vector<Seed> seeds, uint64_t seed) : seeds_(std::move(seeds)), random_(seed) {}
  /// Another input. `max_bytes` bounds it.
  std::vector<std::byte> next(size_t max_bytes);

 private:
  void edit(const Seed& from, std::vector<std::byte>& bytes);
  size_t place(const Seed& from, size_t size);
  void put_integer(std::vector<std::byte>& bytes, size_t at);
  void splice(std::vector<std::byte>& bytes);
  void move_piece(std::vector<std::byte>& bytes, size_t at);

  std::vector<Seed> seeds_;
  Random random_;
};

}  // namespace tern::fuzz
