// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_live.h"

#include <string>

namespace tern::tool {
namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kBlockFlags = kSectorBytes - 1;
constexpr size_t kChunkBytes = 1u << 20;

enum BlockFlag : uint64_t {
  kDeviceBlock = 0x01,
  kBlockEos = 0x02,
  kProgress = 0x04,
  kZeroBlock = 0x08,
};

enum BitmapFlag : uint8_t {
  kBitmapEos = 0x01,
  kZeroes = 0x02,
  kBitmapName = 0x04,
  kNodeName = 0x08,
  kStart = 0x10,
  kComplete = 0x20,
  kBits = 0x40,
  kMoreFlags = 0x80,
};

// What bitmap chunks refer to when they leave a name out.
struct BitmapNames {
  std::string node;
  std::string bitmap;
};

Result<Json> bitmap_bits(StreamReader& in, uint8_t flags) noexcept {
  Json j{{"record", "bits"}};
  j["first_sector"] = TERN_TRY(in.be64("bitmap chunk sector"));
  j["sectors"] = TERN_TRY(in.be32("bitmap chunk sectors"));
  if ((flags & kZeroes) != 0) {
    j["zeroes"] = true;
    return j;
  }
  const uint64_t size = TERN_TRY(in.be64("bitmap chunk size"));
  if (size > kChunkBytes) return in.malformed("bitmap chunk of " + std::to_string(size) + " bytes");
  TERN_TRY(in.take(size, "bitmap chunk"));
  j["bytes"] = size;
  return j;
}

Result<Json> bitmap_chunk(StreamReader& in, uint8_t flags, BitmapNames& names) noexcept {
  if ((flags & kNodeName) != 0) names.node = TERN_TRY(in.counted_string("bitmap node name"));
  if ((flags & kBitmapName) != 0) names.bitmap = TERN_TRY(in.counted_string("bitmap name"));
  Json j = Json::object();
  switch (flags & (kStart | kComplete | kBits)) {
    case kStart: {
      j["record"] = "start";
      j["granularity"] = TERN_TRY(in.be32("bitmap granularity"));
      const uint8_t bits = TERN_TRY(in.u8("bitmap flags"));
      if (bits > 3) return in.malformed("bitmap flags " + std::to_string(bits));
      j["enabled"] = (bits & 1) != 0;
      j["persistent"] = (bits & 2) != 0;
      break;
    }
    case kComplete:
      j["record"] = "complete";
      break;
    case kBits:
      j = TERN_TRY(bitmap_bits(in, flags));
      break;
    default:
      return in.malformed("dirty-bitmap chunk with flags " + std::to_string(flags));
  }
  j["node"] = names.node;
  j["bitmap"] = names.bitmap;
  return j;
}

}  // namespace

Result<Json> walk_block_body(StreamReader& in, InspectContext& context) noexcept {
  uint64_t chunks = 0;
  uint64_t zero_chunks = 0;
  Json progress;
  for (;;) {
    const uint64_t at = in.offset();
    const uint64_t word = TERN_TRY(in.be64("block migration record"));
    const uint64_t sector = word / kSectorBytes;
    const uint64_t flags = word & kBlockFlags;
    if (flags == kBlockEos) break;
    if (flags == kProgress) {
      progress = sector;
      continue;
    }
    if (flags != kDeviceBlock && flags != (kDeviceBlock | kZeroBlock)) {
      return in.malformed("block migration record with flags " + std::to_string(flags));
    }
    const std::string device = TERN_TRY(in.counted_string("block device name"));
    const bool zero = (flags & kZeroBlock) != 0;
    if (!zero) TERN_TRY(in.take(kChunkBytes, "block migration chunk"));
    ++(zero ? zero_chunks : chunks);
    if (context.options.verbose) {
      context.out.record(
          at,
          Json{{"record", zero ? "zero-chunk" : "chunk"}, {"device", device}, {"sector", sector}});
    }
  }
  Json j{{"chunks", chunks}, {"zero_chunks", zero_chunks}};
  if (!progress.is_null()) j["progress_percent"] = progress;
  return j;
}

Result<Json> walk_dirty_bitmap_body(StreamReader& in, InspectContext& context) noexcept {
  BitmapNames names;
  uint64_t chunks = 0;
  for (;;) {
    const uint64_t at = in.offset();
    const uint8_t flags = TERN_TRY(in.u8("dirty-bitmap chunk"));
    if (flags == kBitmapEos) break;
    if ((flags & kMoreFlags) != 0 || (flags & kBitmapEos) != 0) {
      return in.malformed("dirty-bitmap chunk with flags " + std::to_string(flags));
    }
    const Json chunk = TERN_TRY(bitmap_chunk(in, flags, names));
    ++chunks;
    context.out.record(at, chunk);
  }
  return Json{{"chunks", chunks}};
}

}  // namespace tern::tool
