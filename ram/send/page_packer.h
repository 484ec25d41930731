// SPDX-License-Identifier: Apache-2.0
//
// What the sender of the main stream needs of threads that compress pages for it (capability
// `compress`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tern/result.h"

namespace tern {

/// Used by one thread.
class PagePacker {
 public:
  virtual ~PagePacker() = default;

  struct Packed {
    uint64_t page;
    std::span<const std::byte> bytes;  // valid until the next call
    bool compressed;                   // otherwise as it was
  };

  /// Copies the page, every byte of it once. false: all are busy and have enough to do.
  virtual bool take(uint64_t page, const std::byte* data) noexcept = 0;
  /// The oldest page that was taken, if it is done; `wait`: once it is. nullopt: none. Errors:
  /// internal, resource_exhausted.
  virtual Result<std::optional<Packed>> give(bool wait) noexcept = 0;
  /// Whether a page waits when take() refuses it, or goes as it is.
  virtual bool waits() const noexcept = 0;
};

}  // namespace tern
