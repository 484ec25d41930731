// SPDX-License-Identifier: Apache-2.0
//
// How the payload of a multifd packet is packed: one encoder or decoder per channel, one file per
// method, one row of the table for each. Their state lives as long as the channel: a packet refers
// to what earlier packets of its channel held, so packets are encoded and decoded in order and none
// is left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ram/wire/multifd_packet.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern {

/// Pages that follow each other in memory: iovecs of whole pages.
using PagePieces = std::span<const std::span<std::byte>>;

/// One thread.
class PageEncoder {
 public:
  virtual ~PageEncoder() = default;
  /// Packs the bytes of the pieces (1..128 pages), which a guest may be writing: every byte is read
  /// once. The result is valid until the next call and at most kMultifdMaxPayload long. Errors:
  /// internal, resource_exhausted.
  virtual Result<std::span<const std::byte>> encode(PagePieces pages) noexcept = 0;
};

/// One thread.
class PageDecoder {
 public:
  virtual ~PageDecoder() = default;
  /// Unpacks exactly into the pieces. Errors: peer_protocol (broken, too short, too long, bytes
  /// left over); what was written to the pieces is then undefined.
  virtual Result<void> decode(std::span<const std::byte> payload, PagePieces pages) noexcept = 0;
};

struct PageCodec {
  MultifdCompression method;
  uint32_t flag;  ///< in the packet
  Result<std::unique_ptr<PageEncoder>> (*make_encoder)(uint32_t level) noexcept;
  Result<std::unique_ptr<PageDecoder>> (*make_decoder)() noexcept;
};

/// All methods but none, which needs no codec.
std::span<const PageCodec> page_codecs() noexcept;
/// nullptr for none.
const PageCodec* find_page_codec(MultifdCompression method) noexcept;

// The files of the methods.
Result<std::unique_ptr<PageEncoder>> make_zlib_encoder(uint32_t level) noexcept;
Result<std::unique_ptr<PageDecoder>> make_zlib_decoder() noexcept;
Result<std::unique_ptr<PageEncoder>> make_zstd_encoder(uint32_t level) noexcept;
Result<std::unique_ptr<PageDecoder>> make_zstd_decoder() noexcept;

}  // namespace tern
