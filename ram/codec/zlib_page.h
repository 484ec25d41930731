// SPDX-License-Identifier: Apache-2.0
//
// Single pages as zlib streams (RFC 1950), each complete: what capability `compress` sends. Levels
// 1 to 3 are made by ISA-L, 4 to 9 by zlib with a window of one page; everything is read by ISA-L.
// The checksum is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

/// One thread.
class PageDeflater {
 public:
  virtual ~PageDeflater() = default;
  /// The stream, valid until the next call; empty: it would not be shorter than the page. Errors:
  /// internal.
  virtual Result<std::span<const std::byte>> deflate(std::span<const std::byte> page) noexcept = 0;
};
/// Level 0..9; 0 makes nothing shorter. Errors: resource_exhausted.
Result<std::unique_ptr<PageDeflater>> make_page_deflater(uint32_t level) noexcept;

/// One thread.
class PageInflater {
 public:
  PageInflater() noexcept;
  ~PageInflater();
  PageInflater(const PageInflater&) = delete;
  PageInflater& operator=(const PageInflater&) = delete;
  /// The page is written when the payload is known to be sound: one stream and nothing behind it,
  /// which holds exactly a page. Errors: peer_protocol, saying what is wrong.
  Result<void> inflate(std::span<const std::byte> payload, std::span<std::byte> page) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tern
