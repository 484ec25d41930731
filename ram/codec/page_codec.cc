// SPDX-License-Identifier: Apache-2.0
#include "ram/codec/page_codec.h"

#include <array>

namespace tern {
namespace {

constexpr std::array<PageCodec, 2> kCodecs = {{
    {MultifdCompression::zlib, kMultifdZlib, make_zlib_encoder, make_zlib_decoder},
    {MultifdCompression::zstd, kMultifdZstd, make_zstd_encoder, make_zstd_decoder},
}};

}  // namespace

std::span<const PageCodec> page_codecs() noexcept { return kCodecs; }

const PageCodec* find_page_codec(MultifdCompression method) noexcept {
  for (const PageCodec& codec : kCodecs) {
    if (codec.method == method) return &codec;
  }
  return nullptr;
}

}  // namespace tern
