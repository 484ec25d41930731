// SPDX-License-Identifier: Apache-2.0
//
// multifd-compression=zlib.
//
//   channel = one zlib stream (RFC 1950) that never ends; payload = its bytes up to a sync flush
//
// Two header bytes at the start of the channel's first payload, no final block, no checksum; each
// payload ends with 00 00 ff ff. Matches refer to earlier packets. Spoken by QEMU 5.0 and later.
//
// Levels 1 to 3 are made by ISA-L, which writes the same format five to seven times as fast (330
// against 50 MB/s at level 1 on the machine of docs/benchmarks.md) for a tenth more bytes; 0 and 4
// to 9 by zlib. Everything is decoded by ISA-L.
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "base/wire_int.h"
#include "ram/codec/page_codec.h"
#include "ram/codec/snapshot.h"

namespace tern {
namespace {

uint8_t* as_uint8(std::byte* p) noexcept { return reinterpret_cast<uint8_t*>(p); }

class IsalEncoder final : public PageEncoder {
 public:
  IsalEncoder(uint32_t level, size_t work_bytes) noexcept
      : work_(work_bytes), out_(new std::byte[kMultifdMaxPayload]) {
    isal_deflate_init(&stream_);
    stream_.gzip_flag = IGZIP_ZLIB;
    stream_.level = level;
    stream_.level_buf = work_.data();
    stream_.level_buf_size = static_cast<uint32_t>(work_.size());
  }

  Result<std::span<const std::byte>> encode(PagePieces pages) noexcept override {
    const auto in = snapshot_.take(pages);
    stream_.next_in = as_uint8(in.data());
    stream_.avail_in = static_cast<uint32_t>(in.size());
    stream_.next_out = as_uint8(out_.get());
    stream_.avail_out = kMultifdMaxPayload;
    stream_.flush = SYNC_FLUSH;
    const int status = isal_deflate(&stream_);
    if (status != COMP_OK || stream_.avail_in != 0 || stream_.avail_out == 0) {
      return Error(ErrorCode::internal, "ISA-L deflate: status " + std::to_string(status));
    }
    return std::span<const std::byte>(out_.get(), kMultifdMaxPayload - stream_.avail_out);
  }

 private:
  Snapshot snapshot_;
  std::vector<uint8_t> work_;
  std::unique_ptr<std::byte[]> out_;
  isal_zstream stream_;
};

class ZlibEncoder final : public PageEncoder {
 public:
  ZlibEncoder() noexcept : out_(new std::byte[kMultifdMaxPayload]) {}
  ~ZlibEncoder() override {
    if (ready_) deflateEnd(&stream_);
  }

  Result<void> begin(uint32_t level) noexcept {
    if (deflateInit(&stream_, static_cast<int>(level)) != Z_OK) {
      return Error(ErrorCode::resource_exhausted, "zlib: no memory");
    }
    ready_ = true;
    return {};
  }

  Result<std::span<const std::byte>> encode(PagePieces pages) noexcept override {
    const auto in = snapshot_.take(pages);
    stream_.next_in = as_uint8(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = as_uint8(out_.get());
    stream_.avail_out = kMultifdMaxPayload;
    const int status = deflate(&stream_, Z_SYNC_FLUSH);
    if (status != Z_OK || stream_.avail_in != 0 || stream_.avail_out == 0) {
      return Error(ErrorCode::internal, "zlib deflate: status " + std::to_string(status));
    }
    return std::span<const std::byte>(out_.get(), kMultifdMaxPayload - stream_.avail_out);
  }

 private:
  Snapshot snapshot_;
  std::unique_ptr<std::byte[]> out_;
  z_stream stream_{};
  bool ready_ = false;
};

class ZlibDecoder final : public PageDecoder {
 public:
  ZlibDecoder() noexcept : out_(new std::byte[kMaxOutput]) { isal_inflate_init(&state_); }

  // Not into the pages themselves: the library takes matches from what it wrote, and QEMU 7.2 may
  // send a page on two channels at once. What the other one writes there meanwhile must not become
  // part of this one's window.
  Result<void> decode(std::span<const std::byte> payload, PagePieces pages) noexcept override {
    size_t bytes = 0;
    for (const auto piece : pages) bytes += piece.size();
    if (bytes > kMaxOutput) return Error(ErrorCode::internal, "zlib: more pages than in a packet");
    if (!has_header_) payload = TERN_TRY(take_header(payload));
    // The library reads it only; its structure has no const form.
    state_.next_in = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(payload.data()));
    state_.avail_in = static_cast<uint32_t>(payload.size());
    TERN_TRY(inflate_into({out_.get(), bytes}));
    if (state_.avail_out != 0) return broken("the payload ends before its pages");
    // The marker of the flush is left, or nothing; never another byte of a page.
    std::array<std::byte, 64> sink;
    TERN_TRY(inflate_into(sink));
    if (state_.avail_out != sink.size()) return broken("the payload holds more than its pages");
    if (state_.avail_in != 0) return broken("bytes are left over behind the pages");
    const std::byte* from = out_.get();
    for (const auto piece : pages) {
      std::memcpy(piece.data(), from, piece.size());
      from += piece.size();
    }
    return {};
  }

 private:
  static Error broken(const std::string& why) noexcept {
    return Error(ErrorCode::peer_protocol, "zlib: " + why);
  }

  // Checked here and not by the library, which would then also keep a checksum that never comes.
  Result<std::span<const std::byte>> take_header(std::span<const std::byte> payload) noexcept {
    if (payload.size() < 2) return broken("the stream has no header");
    const auto word = load_be<uint16_t>(payload.data());
    constexpr uint16_t kDictionary = 0x20;
    if ((word >> 8 & 15) != 8 || (word >> 12) > 7 || word % 31 != 0 || (word & kDictionary) != 0) {
      return broken("not the header of a zlib stream");
    }
    has_header_ = true;
    return payload.subspan(2);
  }

  Result<void> inflate_into(std::span<std::byte> piece) noexcept {
    state_.next_out = as_uint8(piece.data());
    state_.avail_out = static_cast<uint32_t>(piece.size());
    const int status = isal_inflate(&state_);
    if (status != ISAL_DECOMP_OK) return broken("inflate returned " + std::to_string(status));
    if (state_.block_state == ISAL_BLOCK_FINISH) return broken("the stream ends, it must go on");
    return {};
  }

  static constexpr size_t kMaxOutput = kMultifdPages * kTargetPageBytes;
  inflate_state state_;
  std::unique_ptr<std::byte[]> out_;
  bool has_header_ = false;
};

}  // namespace

Result<std::unique_ptr<PageEncoder>> make_zlib_encoder(uint32_t level) noexcept {
  if (level == 1) {
    return std::unique_ptr<PageEncoder>(std::make_unique<IsalEncoder>(1, ISAL_DEF_LVL1_DEFAULT));
  }
  if (level == 2 || level == 3) {
    return std::unique_ptr<PageEncoder>(std::make_unique<IsalEncoder>(3, ISAL_DEF_LVL3_DEFAULT));
  }
  auto encoder = std::make_unique<ZlibEncoder>();
  TERN_TRY(encoder->begin(level));
  return std::unique_ptr<PageEncoder>(std::move(encoder));
}

Result<std::unique_ptr<PageDecoder>> make_zlib_decoder() noexcept {
  return std::unique_ptr<PageDecoder>(std::make_unique<ZlibDecoder>());
}

}  // namespace tern
