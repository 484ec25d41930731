// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_ram.h"

#include <algorithm>
#include <bit>

namespace tern::tool {
namespace {

constexpr size_t kMaxBlocks = 65536;
constexpr uint64_t kMappedRamAlignment = 4096;

// One or two bytes; 0 where it cannot stand.
struct Run {
  uint32_t length;
  size_t bytes;
};
std::optional<Run> read_run(std::span<const std::byte> from) noexcept {
  if (from.empty()) return std::nullopt;
  const auto low = std::to_integer<uint32_t>(from[0]);
  if (low < 0x80) return Run{low, 1};
  if (from.size() < 2) return std::nullopt;
  const auto high = std::to_integer<uint32_t>(from[1]);
  if (high >= 0x80) return std::nullopt;
  return Run{(low & 0x7f) | (high << 7), 2};
}

// Why the payload is no XBZRLE patch of a page; empty: it is one.
std::string_view xbzrle_fault(std::span<const std::byte> payload, size_t page_bytes) noexcept {
  size_t at = 0;
  size_t in_page = 0;
  while (at < payload.size()) {
    if (payload.size() - at < 2) return "XBZRLE ends inside a run";
    const auto zrun = read_run(payload.subspan(at));
    if (!zrun) return "XBZRLE run length is malformed";
    if (zrun->length == 0 && at != 0) return "XBZRLE zero run of length 0";
    at += zrun->bytes;
    if (payload.size() - at < 2) return "XBZRLE ends inside a run";
    const auto nzrun = read_run(payload.subspan(at));
    if (!nzrun) return "XBZRLE run length is malformed";
    if (nzrun->length == 0) return "XBZRLE non-zero run of length 0";
    at += nzrun->bytes;
    in_page += zrun->length + nzrun->length;
    if (in_page > page_bytes) return "XBZRLE run goes past the page";
    if (nzrun->length > payload.size() - at) return "XBZRLE run goes past the record";
    at += nzrun->length;
  }
  return {};
}

}  // namespace

Json RamWalker::Counts::json() const noexcept {
  Json j{{"normal", normal}, {"zero", zero}};
  if (xbzrle > 0) j["xbzrle"] = xbzrle;
  if (compressed > 0) j["compressed"] = compressed;
  j["data_bytes"] = data_bytes;
  return j;
}

void RamWalker::count(Counts& counts, RecordKind kind, uint64_t bytes) const noexcept {
  switch (kind) {
    case RecordKind::zero:
      ++counts.zero;
      break;
    case RecordKind::xbzrle:
      ++counts.xbzrle;
      break;
    case RecordKind::compress_page:
      ++counts.compressed;
      break;
    default:
      ++counts.normal;
      break;
  }
  counts.data_bytes += bytes;
}

Json RamWalker::take_section_summary() noexcept {
  Json j = Json::object();
  if (!list_.is_null()) j["block_list"] = std::move(list_);
  list_ = Json();
  if (flushes_ > 0) j["multifd_flushes"] = flushes_;
  if (hooks_ > 0) j["hooks"] = hooks_;
  j["pages"] = section_.json();
  Json blocks = Json::array();
  for (const auto& [index, touched] : touched_) {
    Json b{{"name", blocks_[index].name}, {"first", touched.first}, {"last", touched.last}};
    b.update(touched.counts.json());
    blocks.push_back(std::move(b));
  }
  if (!blocks.empty()) j["blocks"] = std::move(blocks);
  touched_.clear();
  section_ = {};
  flushes_ = 0;
  hooks_ = 0;
  return j;
}

Result<void> RamWalker::body(StreamReader& in) noexcept {
  while (TERN_TRY(one_record(in))) {
  }
  return {};
}

Result<void> RamWalker::channel(StreamReader& in) noexcept {
  while (!TERN_TRY(in.at_end())) {
    if (!TERN_TRY(one_record(in))) {
      if (TERN_TRY(in.at_end())) return {};
      TERN_TRY(in.peek_u8("end of the channel"));
      return in.malformed("data after the last record");
    }
  }
  return {};
}

// false: EOS.
Result<bool> RamWalker::one_record(StreamReader& in) noexcept {
  const uint64_t at = in.offset();
  const RecordWord record = TERN_TRY(read_record_word(in));
  switch (record.kind) {
    case RecordKind::eos:
      return false;
    case RecordKind::mem_size:
      if (listed_) return in.malformed("a second list of RAM blocks");
      TERN_TRY(block_list(in, record.offset));
      return true;
    case RecordKind::multifd_flush:
      ++flushes_;
      break;
    case RecordKind::hook:
      ++hooks_;
      break;
    default:
      TERN_TRY(page(in, record, at));
      return true;
  }
  if (context_.options.verbose) {
    context_.out.record(at, Json{{"record", std::string(to_string(record.kind))}});
  }
  return true;
}

Result<void> RamWalker::block_list(StreamReader& in, uint64_t total) noexcept {
  list_ = Json{{"total_bytes", total}, {"block", Json::array()}};
  uint64_t left = total;
  while (left > 0) {
    if (blocks_.size() >= kMaxBlocks) return in.malformed("more than 65536 RAM blocks");
    const std::string name = TERN_TRY(in.counted_string("RAM block name"));
    if (index_.contains(name)) return in.malformed("RAM block '" + name + "' is listed twice");
    const uint64_t length = TERN_TRY(in.be64("RAM block length"));
    if (length == 0 || length > left || length % conventions.page_bytes != 0) {
      return in.malformed("RAM block '" + name + "' of " + std::to_string(length) + " bytes, " +
                          std::to_string(left) + " are left of the total");
    }
    left -= length;
    Json extras = TERN_TRY(block_extras(in, length, left == 0));
    Json entry{{"name", name}, {"used_bytes", length}};
    entry.update(extras);
    list_["block"].push_back(std::move(entry));
    index_.emplace(name, blocks_.size());
    blocks_.push_back({name, length});
  }
  listed_ = true;
  if (context_.options.ram_directory.empty()) return {};
  if (conventions.page_bytes != kTargetPageBytes) {
    return in.malformed("RAM can be written only of pages of 4096 bytes");
  }
  files_ = std::make_unique<RamFiles>(context_.options.ram_directory);
  for (const Block& block : blocks_)
    TERN_TRY(stored(in, files_->add(block.name, block.used_bytes)));
  return {};
}

// None of these fields is marked in the stream; their presence follows from what was said before,
// and for the page size from the value: names and record words never look like a bare power of two.
Result<Json> RamWalker::block_extras(StreamReader& in, uint64_t used_bytes, bool last) noexcept {
  Json extras = Json::object();
  const auto next_is_number = [&]() -> Result<bool> {
    const auto next = TERN_TRY(in.peek(16));
    if (next.size() < 8) return false;
    const uint64_t v = load_be<uint64_t>(next.data());
    const uint64_t huge = conventions.advised_page_sizes & ~uint64_t{conventions.page_bytes};
    if (!std::has_single_bit(v) || (v & huge) == 0) return false;
    if (!conventions.ignore_shared) return true;
    // A guest-physical address follows in any case: is it this number, or the one behind it?
    if (next.size() < 16) return false;
    const uint64_t w = load_be<uint64_t>(next.data() + 8);
    return w % conventions.page_bytes == 0 && (last || w < (uint64_t{1} << 56));
  };
  if (conventions.advised_page_sizes != 0 && TERN_TRY(next_is_number())) {
    extras["page_size"] = TERN_TRY(in.be64("RAM block page size"));
  }
  if (conventions.ignore_shared) {
    extras["gpa"] = TERN_TRY(in.be64("RAM block guest-physical address"));
  }
  if (conventions.mapped_ram) extras["mapped_ram"] = TERN_TRY(mapped_ram(in, used_bytes));
  return extras;
}

Result<Json> RamWalker::mapped_ram(StreamReader& in, uint64_t used_bytes) noexcept {
  const uint32_t version = TERN_TRY(in.be32("mapped-ram version"));
  if (version > 1) return in.malformed("mapped-ram version " + std::to_string(version));
  const uint64_t page_size = TERN_TRY(in.be64("mapped-ram page size"));
  if (page_size != conventions.page_bytes) {
    return in.malformed("mapped-ram page size " + std::to_string(page_size));
  }
  const uint64_t bitmap_offset = TERN_TRY(in.be64("mapped-ram bitmap offset"));
  if (bitmap_offset != 0 && bitmap_offset < in.offset()) {
    return in.malformed("mapped-ram bitmap at " + std::to_string(bitmap_offset) +
                        ", before the end of its header");
  }
  const uint64_t pages_offset = TERN_TRY(in.be64("mapped-ram pages offset"));
  Json j{{"version", version},
         {"page_size", page_size},
         {"bitmap_offset", bitmap_offset},
         {"pages_offset", pages_offset}};
  // QEMU writes zeros for a block that it leaves out (x-ignore-shared).
  if (bitmap_offset == 0 && pages_offset == 0) return j;
  const uint64_t pages = used_bytes / page_size;
  const uint64_t bitmap_bytes = (pages + 63) / 64 * 8;
  if (pages_offset % kMappedRamAlignment != 0 || pages_offset < bitmap_bytes ||
      pages_offset - bitmap_bytes < bitmap_offset || pages_offset > UINT64_MAX - used_bytes) {
    return in.malformed("mapped-ram pages at " + std::to_string(pages_offset) +
                        " do not fit behind their bitmap");
  }
  TERN_TRY(skip(in, bitmap_offset - in.offset(), "gap before the mapped-ram bitmap"));
  uint64_t present = 0;
  for (uint64_t at = 0; at < bitmap_bytes; at += 8) {
    const auto word = TERN_TRY(in.take(8, "mapped-ram bitmap"));
    uint64_t bits = __builtin_bswap64(load_be<uint64_t>(word.data()));  // this one is little-endian
    if (at / 8 == pages / 64) bits &= (uint64_t{1} << (pages % 64)) - 1;
    present += static_cast<uint64_t>(std::popcount(bits));
  }
  j["pages_present"] = present;
  TERN_TRY(skip(in, pages_offset + used_bytes - in.offset(), "mapped-ram pages"));
  return j;
}

Result<void> RamWalker::skip(StreamReader& in, uint64_t bytes,
                             std::string_view what) const noexcept {
  while (bytes > 0) {
    const auto got = TERN_TRY(in.take_available(std::min<uint64_t>(bytes, 1u << 20)));
    // take says what was missing and where.
    if (got.empty()) TERN_TRY(in.take(1, what));
    bytes -= got.size();
  }
  return {};
}

Result<void> RamWalker::select_block(StreamReader& in, bool cont) noexcept {
  if (cont) {
    if (current_ != SIZE_MAX) return {};
    if (!unlisted_) return in.malformed("CONTINUE before any block was named");
  }
  const std::string name = cont ? std::string("(named on an earlier connection)")
                                : TERN_TRY(in.counted_string("RAM block name"));
  auto found = index_.find(name);
  if (found == index_.end()) {
    if (!unlisted_) return in.malformed("page for RAM block '" + name + "', which was not listed");
    if (blocks_.size() >= kMaxBlocks) return in.malformed("more than 65536 RAM blocks");
    found = index_.emplace(name, blocks_.size()).first;
    blocks_.push_back({name, UINT64_MAX});
  }
  current_ = found->second;
  return {};
}

Result<void> RamWalker::page(StreamReader& in, const RecordWord& record, uint64_t at) noexcept {
  if (record.offset % conventions.page_bytes != 0) {
    return in.malformed("page address " + std::to_string(record.offset) +
                        " is not a page boundary");
  }
  TERN_TRY(select_block(in, record.cont));
  const Block& block = blocks_[current_];
  if (record.offset >= block.used_bytes) {
    return in.malformed("page at " + std::to_string(record.offset) + " is outside RAM block '" +
                        block.name + "'");
  }
  const uint64_t bytes = TERN_TRY(payload(in, record));
  Touched& touched = touched_[current_];
  touched.first = std::min(touched.first, record.offset);
  touched.last = std::max(touched.last, record.offset);
  count(touched.counts, record.kind, bytes);
  count(section_, record.kind, bytes);
  count(total_, record.kind, bytes);
  if (context_.options.verbose) {
    context_.out.record(at, Json{{"record", std::string(to_string(record.kind))},
                                 {"block", block.name},
                                 {"address", record.offset},
                                 {"bytes", bytes}});
  }
  return {};
}

// The fault with the offset of the record.
Result<void> RamWalker::stored(StreamReader& in, Result<void> written) const noexcept {
  if (!written) return in.malformed(written.error().message());
  return {};
}

Result<uint64_t> RamWalker::payload(StreamReader& in, const RecordWord& record) noexcept {
  switch (record.kind) {
    case RecordKind::zero: {
      const uint8_t fill = TERN_TRY(in.u8("zero page"));
      if (fill != 0) return in.malformed("zero page with fill byte " + std::to_string(fill));
      if (files_) TERN_TRY(stored(in, files_->zero(current_, record.offset)));
      return uint64_t{0};
    }
    case RecordKind::xbzrle:
      return xbzrle(in, record.offset);
    case RecordKind::compress_page:
      return compressed(in, record.offset);
    default:
      break;
  }
  const auto page = TERN_TRY(in.take(conventions.page_bytes, "page"));
  if (files_) TERN_TRY(stored(in, files_->write(current_, record.offset, page)));
  return uint64_t{conventions.page_bytes};
}

Result<uint64_t> RamWalker::xbzrle(StreamReader& in, uint64_t offset) noexcept {
  const uint8_t encoding = TERN_TRY(in.u8("XBZRLE encoding"));
  if (encoding != 1) return in.malformed("XBZRLE encoding " + std::to_string(encoding));
  const uint16_t n = TERN_TRY(in.be16("XBZRLE length"));
  if (n > conventions.page_bytes)
    return in.malformed("XBZRLE record of " + std::to_string(n) + " bytes");
  const auto bytes = TERN_TRY(in.take(n, "XBZRLE record"));
  const std::string_view fault = xbzrle_fault(bytes, conventions.page_bytes);
  if (!fault.empty()) return in.malformed(fault);
  if (files_) TERN_TRY(stored(in, files_->patch(current_, offset, bytes)));
  return uint64_t{n};
}

Result<uint64_t> RamWalker::compressed(StreamReader& in, uint64_t offset) noexcept {
  const uint32_t page = conventions.page_bytes;
  const uint32_t bound =
      page + (page >> 12) + (page >> 14) + (page >> 25) + 13;  // zlib's compressBound
  const uint32_t n = TERN_TRY(in.be32("compressed page length"));
  if (n > bound) return in.malformed("compressed page of " + std::to_string(n) + " bytes");
  const auto bytes = TERN_TRY(in.take(n, "compressed page"));
  // RFC 1950: method 8, and the two header bytes are a multiple of 31.
  const bool zlib = n >= 6 && (std::to_integer<unsigned>(bytes[0]) & 0x0f) == 8 &&
                    load_be<uint16_t>(bytes.data()) % 31 == 0;
  if (!zlib) return in.malformed("compressed page is not a zlib stream");
  if (files_) TERN_TRY(stored(in, files_->inflate(current_, offset, bytes)));
  return uint64_t{n};
}

}  // namespace tern::tool
