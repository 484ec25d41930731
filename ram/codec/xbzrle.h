// SPDX-License-Identifier: Apache-2.0
//
// XBZRLE: a page as the places where it differs from what the destination has.
//
//   payload = { zrun nzrun }*          never ends with a zrun
//   zrun    = uleb(L)                  L equal bytes, skipped; 0 only in the first pair
//   nzrun   = uleb(M) M bytes          M >= 1 bytes of the new content, not its difference
//   uleb    = 1 byte 0..0x7f, or 2: (v & 0x7f | 0x80) (v >> 7), the second below 0x80
//
// At most a page long: what would be longer is sent as a page. Runs are maximal, a single equal
// byte ends an nzrun; that is what every QEMU writes. A length in more bytes than it needs is read,
// as by QEMU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ram/simd/page_ops.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

/// One thread.
class XbzrleEncoder {
 public:
  explicit XbzrleEncoder(const PageOps& ops) noexcept : ops_(ops) {}

  enum class Outcome {
    unchanged,  // nothing to send
    patch,      // payload() makes the new page of the old one
    overflow,   // a patch would be longer than the page
  };
  /// `cached` is what the destination has; it becomes what the page at `now` holds, of which every
  /// byte is read once: a guest may be writing it. What is sent and what is cached are the same.
  Outcome encode(std::byte* cached, const std::byte* now) noexcept;
  /// Of the last patch; valid until the next call.
  std::span<const std::byte> payload() const noexcept { return {payload_.data(), used_}; }

 private:
  Outcome write_runs() noexcept;
  size_t next_different(size_t from) const noexcept;
  size_t next_equal(size_t from) const noexcept;
  void put_length(size_t value) noexcept;

  const PageOps& ops_;
  PageDifferences found_;
  size_t used_ = 0;
  std::array<std::byte, kTargetPageBytes + PageDifferences::kSlack> payload_{};
};

/// Patches the page (4096 bytes) in place. Nothing is written unless all of the payload is sound.
/// Errors: peer_protocol, naming what is wrong and at which byte of the payload.
Result<void> decode_xbzrle(std::span<const std::byte> payload, std::span<std::byte> page) noexcept;

}  // namespace tern
