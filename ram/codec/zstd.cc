// SPDX-License-Identifier: Apache-2.0
//
// multifd-compression=zstd.
//
//   channel = zstd frames; payload = bytes up to a flush or to the end of a frame
//
// QEMU sends one frame that never ends and takes any number of them, as long as a frame ends where
// a payload does. No content size is needed, no checksum. The window (2^27 bytes at level 22) spans
// packets. Spoken by QEMU 5.0 and later where it was built with zstd. Limits: the window log that a
// decoder takes, 27, is the library's default.
#include <zstd.h>

#include <array>
#include <string>

#include "ram/codec/page_codec.h"
#include "ram/codec/snapshot.h"

namespace tern {
namespace {

Error zstd_error(ErrorCode code, size_t result) noexcept {
  return Error(code, "zstd: " + std::string(ZSTD_getErrorName(result)));
}

struct FreeCStream {
  void operator()(ZSTD_CCtx* p) const noexcept { ZSTD_freeCCtx(p); }
};
struct FreeDStream {
  void operator()(ZSTD_DCtx* p) const noexcept { ZSTD_freeDCtx(p); }
};

class ZstdEncoder final : public PageEncoder {
 public:
  ZstdEncoder(ZSTD_CCtx* context, uint32_t level) noexcept
      : context_(context),
        frame_bytes_(level == 1 ? kWorthAFrame : SIZE_MAX),
        out_(new std::byte[kMultifdMaxPayload]) {}

  Result<std::span<const std::byte>> encode(PagePieces pages) noexcept override {
    const auto all = snapshot_.take(pages);
    const auto directive = all.size() >= frame_bytes_ ? ZSTD_e_end : ZSTD_e_flush;
    ZSTD_inBuffer in{all.data(), all.size(), 0};
    ZSTD_outBuffer out{out_.get(), kMultifdMaxPayload, 0};
    const size_t left = ZSTD_compressStream2(context_.get(), &out, &in, directive);
    if (ZSTD_isError(left) != 0) return zstd_error(ErrorCode::internal, left);
    if (left != 0 || in.pos != in.size) {
      return Error(ErrorCode::internal, "zstd: more output than room");
    }
    return std::span<const std::byte>(out_.get(), out.pos);
  }

 private:
  // At level 1, whose window is no longer than a packet, one of at least this many bytes is a frame
  // of its own: made in one pass, without the copy into a window, a tenth faster. Otherwise what
  // came before helps.
  static constexpr size_t kWorthAFrame = kMultifdPages / 2 * kTargetPageBytes;

  std::unique_ptr<ZSTD_CCtx, FreeCStream> context_;
  const size_t frame_bytes_;
  Snapshot snapshot_;
  std::unique_ptr<std::byte[]> out_;
};

class ZstdDecoder final : public PageDecoder {
 public:
  explicit ZstdDecoder(ZSTD_DCtx* context) noexcept : context_(context) {}

  Result<void> decode(std::span<const std::byte> payload, PagePieces pages) noexcept override {
    ZSTD_inBuffer in{payload.data(), payload.size(), 0};
    for (const auto piece : pages) {
      ZSTD_outBuffer out{piece.data(), piece.size(), 0};
      while (out.pos < out.size) {
        const size_t before = out.pos;
        const size_t read = in.pos;
        const size_t hint = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(hint) != 0) return zstd_error(ErrorCode::peer_protocol, hint);
        if (out.pos == before && in.pos == read) {
          return Error(ErrorCode::peer_protocol, "zstd: the payload ends before its pages");
        }
      }
    }
    return expect_end(in);
  }

 private:
  // What is left may be the end of a frame, never another byte of a page.
  Result<void> expect_end(ZSTD_inBuffer& in) noexcept {
    std::array<std::byte, 64> sink;
    for (;;) {
      ZSTD_outBuffer out{sink.data(), sink.size(), 0};
      const size_t read = in.pos;
      const size_t hint = ZSTD_decompressStream(context_.get(), &out, &in);
      if (ZSTD_isError(hint) != 0) return zstd_error(ErrorCode::peer_protocol, hint);
      if (out.pos != 0) {
        return Error(ErrorCode::peer_protocol, "zstd: the payload holds more than its pages");
      }
      if (in.pos == in.size) return {};
      if (in.pos == read) {
        return Error(ErrorCode::peer_protocol, "zstd: bytes are left over behind the pages");
      }
    }
  }

  std::unique_ptr<ZSTD_DCtx, FreeDStream> context_;
};

}  // namespace

Result<std::unique_ptr<PageEncoder>> make_zstd_encoder(uint32_t level) noexcept {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  if (context == nullptr) return Error(ErrorCode::resource_exhausted, "zstd: no memory");
  auto encoder = std::make_unique<ZstdEncoder>(context, level);
  // QEMU's level 0 is the library's "default level", 3.
  const size_t set =
      ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, static_cast<int>(level));
  if (ZSTD_isError(set) != 0) return zstd_error(ErrorCode::invalid_argument, set);
  return std::unique_ptr<PageEncoder>(std::move(encoder));
}

Result<std::unique_ptr<PageDecoder>> make_zstd_decoder() noexcept {
  ZSTD_DCtx* const context = ZSTD_createDCtx();
  if (context == nullptr) return Error(ErrorCode::resource_exhausted, "zstd: no memory");
  return std::unique_ptr<PageDecoder>(std::make_unique<ZstdDecoder>(context));
}

}  // namespace tern
