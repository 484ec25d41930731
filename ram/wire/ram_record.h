// SPDX-License-Identifier: Apache-2.0
//
// RAM records of the main stream, both directions: the bodies of the sections "ram" (version 4).
//
//   record = be64 offset|flags  [cstr block]  payload          offset: a multiple of the page, below the block's length
//   START  = be64 total|MEM_SIZE  { cstr block  be64 used_length }*  until the lengths add up to total, then records
//   0x002 ZERO      [cstr] u8 0                        0x040 XBZRLE   [cstr] u8 1 be16 n  n bytes
//   0x004 MEM_SIZE  the block list, once, in START     0x080 HOOK     RDMA only
//   0x008 PAGE      [cstr] page bytes                  0x100 COMPRESS [cstr] be32 n  n bytes of zlib (QEMU <= 9.0)
//   0x010 EOS       ends the body                      0x200 MULTIFD_FLUSH (QEMU >= 8.1)
//   0x020 CONTINUE  modifier: no block name, the block of the record before on this channel (it outlives EOS and
//                   footers: a PART often starts with it)
//
// Spoken by every QEMU. Exactly one flag besides CONTINUE per word; anything else is refused.
// Limits: 65536 blocks, total = what is registered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/stream_io.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern {

inline constexpr std::string_view kRamIdstr = "ram";
inline constexpr uint32_t kRamVersion = 4;

enum class RecordKind : uint16_t {
  zero = 0x002,
  mem_size = 0x004,
  page = 0x008,
  eos = 0x010,
  xbzrle = 0x040,
  hook = 0x080,
  compress_page = 0x100,
  multifd_flush = 0x200,
};
inline constexpr uint64_t kContinueFlag = 0x020;
inline constexpr uint64_t kFlagMask = kTargetPageBytes - 1;

struct RecordWord {
  RecordKind kind = RecordKind::eos;
  bool cont = false;
  uint64_t offset = 0;  // or the total of mem_size
};

std::string_view to_string(RecordKind kind) noexcept;

/// Takes one word apart. Errors: peer_protocol naming the word; legality in context is the
/// caller's.
Result<RecordWord> parse_record_word(uint64_t word) noexcept;
Result<RecordWord> read_record_word(StreamReader& in) noexcept;

/// Writes a record head; `idstr` empty: CONTINUE.
Result<void> write_record_head(StreamWriter& out, RecordKind kind, uint64_t offset,
                               std::string_view idstr) noexcept;
/// XBZRLE's own head: encoding and length.
inline constexpr size_t kXbzrleHeadBytes = 3;
Result<void> write_xbzrle(StreamWriter& out, uint64_t offset, std::string_view idstr,
                          std::span<const std::byte> payload) noexcept;
/// Behind the word and the name: the payload, valid until the next read. Errors: peer_protocol for
/// an unknown encoding or a payload longer than a page.
Result<std::span<const std::byte>> read_xbzrle(StreamReader& in) noexcept;
inline constexpr size_t kCompressedHeadBytes = 4;
/// What zlib makes of a page at most (its compressBound).
inline constexpr size_t kMaxCompressedPage = 4110;
Result<void> write_compressed(StreamWriter& out, uint64_t offset, std::string_view idstr,
                              std::span<const std::byte> payload) noexcept;
/// The same for a compressed page.
Result<std::span<const std::byte>> read_compressed(StreamReader& in) noexcept;
Result<void> write_block_list_head(StreamWriter& out, uint64_t total_bytes) noexcept;
Result<void> write_block(StreamWriter& out, std::string_view idstr, uint64_t used_bytes) noexcept;
Result<void> write_eos(StreamWriter& out) noexcept;
Result<void> write_multifd_flush(StreamWriter& out) noexcept;

}  // namespace tern
