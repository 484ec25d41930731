// SPDX-License-Identifier: Apache-2.0
#include "ram/wire/ram_record.h"

#include <cstdio>

namespace tern {
namespace {

constexpr uint8_t kXbzrleEncoding = 1;

}  // namespace

std::string_view to_string(RecordKind kind) noexcept {
  switch (kind) {
    case RecordKind::zero:
      return "zero";
    case RecordKind::mem_size:
      return "mem-size";
    case RecordKind::page:
      return "page";
    case RecordKind::eos:
      return "eos";
    case RecordKind::xbzrle:
      return "xbzrle";
    case RecordKind::hook:
      return "hook";
    case RecordKind::compress_page:
      return "compress-page";
    case RecordKind::multifd_flush:
      return "multifd-flush";
  }
  return "unknown";
}

Result<RecordWord> parse_record_word(uint64_t word) noexcept {
  const auto bad = [word](const char* why) {
    char text[96];
    std::snprintf(text, sizeof text, "RAM record word 0x%016llx: %s",
                  static_cast<unsigned long long>(word), why);
    return Error(ErrorCode::peer_protocol, text);
  };
  RecordWord r;
  r.cont = (word & kContinueFlag) != 0;
  r.offset = word & ~kFlagMask;
  const uint64_t flag = word & kFlagMask & ~kContinueFlag;
  switch (flag) {
    case 0x002:
    case 0x008:
    case 0x040:
    case 0x100:
      r.kind = static_cast<RecordKind>(flag);
      return r;
    case 0x004:
      if (r.cont) return bad("CONTINUE with MEM_SIZE");
      r.kind = RecordKind::mem_size;
      return r;
    case 0x010:
    case 0x080:
    case 0x200:
      if (r.cont || r.offset != 0)
        return bad("CONTINUE or an address with EOS, HOOK or MULTIFD_FLUSH");
      r.kind = static_cast<RecordKind>(flag);
      return r;
    default:
      return bad("unknown combination of flags");
  }
}

Result<RecordWord> read_record_word(StreamReader& in) noexcept {
  const uint64_t word = TERN_TRY(in.be64("RAM record"));
  auto record = parse_record_word(word);
  if (!record) return in.malformed(record.error().message());
  return record;
}

Result<void> write_record_head(StreamWriter& out, RecordKind kind, uint64_t offset,
                               std::string_view idstr) noexcept {
  const uint64_t flags = static_cast<uint64_t>(kind) | (idstr.empty() ? kContinueFlag : 0);
  TERN_TRY(out.put_be64(offset | flags));
  return idstr.empty() ? Result<void>() : out.put_counted_string(idstr);
}

Result<void> write_xbzrle(StreamWriter& out, uint64_t offset, std::string_view idstr,
                          std::span<const std::byte> payload) noexcept {
  TERN_TRY(write_record_head(out, RecordKind::xbzrle, offset, idstr));
  TERN_TRY(out.put_u8(kXbzrleEncoding));
  TERN_TRY(out.put_be16(static_cast<uint16_t>(payload.size())));
  return out.put(payload);
}

Result<std::span<const std::byte>> read_xbzrle(StreamReader& in) noexcept {
  const auto encoding = TERN_TRY(in.u8("XBZRLE encoding"));
  if (encoding != kXbzrleEncoding) {
    return in.malformed("XBZRLE encoding " + std::to_string(encoding) + ", only 1 is known");
  }
  const auto n = TERN_TRY(in.be16("XBZRLE length"));
  if (n > kTargetPageBytes) {
    return in.malformed("XBZRLE record of " + std::to_string(n) + " bytes, longer than a page");
  }
  return in.take(n, "XBZRLE record");
}

Result<void> write_compressed(StreamWriter& out, uint64_t offset, std::string_view idstr,
                              std::span<const std::byte> payload) noexcept {
  TERN_TRY(write_record_head(out, RecordKind::compress_page, offset, idstr));
  TERN_TRY(out.put_be32(static_cast<uint32_t>(payload.size())));
  return out.put(payload);
}

Result<std::span<const std::byte>> read_compressed(StreamReader& in) noexcept {
  const auto n = TERN_TRY(in.be32("length of a compressed page"));
  if (n > kMaxCompressedPage) {
    return in.malformed("compressed page of " + std::to_string(n) + " bytes, zlib needs at most " +
                        std::to_string(kMaxCompressedPage));
  }
  return in.take(n, "compressed page");
}

Result<void> write_block_list_head(StreamWriter& out, uint64_t total_bytes) noexcept {
  return out.put_be64(total_bytes | static_cast<uint64_t>(RecordKind::mem_size));
}

Result<void> write_block(StreamWriter& out, std::string_view idstr, uint64_t used_bytes) noexcept {
  TERN_TRY(out.put_counted_string(idstr));
  return out.put_be64(used_bytes);
}

Result<void> write_multifd_flush(StreamWriter& out) noexcept {
  return out.put_be64(static_cast<uint64_t>(RecordKind::multifd_flush));
}

Result<void> write_eos(StreamWriter& out) noexcept {
  return out.put_be64(static_cast<uint64_t>(RecordKind::eos));
}

}  // namespace tern
