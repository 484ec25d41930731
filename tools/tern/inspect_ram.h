// SPDX-License-Identifier: Apache-2.0
//
// RamWalker: the RAM records of the main stream (words and heads: ram/wire), counted, and applied
// to files if that is asked for (RamFiles). Adds what the engine does not load: the block list's
// optional fields, mapped-ram headers, XBZRLE, compressed pages, RDMA hooks.
//
//   block    = cstr name  be64 used
//              [be64 page size]  if postcopy is advised and the block has huge pages
//              [be64 gpa]        with x-ignore-shared
//              [be32 1  be64 page size  be64 bitmap offset  be64 pages offset]  with mapped-ram
//   XBZRLE   = u8 1  be16 n  { zrun nzrun }*   runs: uleb128 of 1 or 2 bytes; bytes follow nzrun
//   COMPRESS = be32 n  n bytes of zlib         QEMU up to 9.0
// Limits: 65536 blocks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream_io.h"
#include "ram/wire/ram_record.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_ram_files.h"

namespace tern::tool {

/// What the stream said before its first RAM section and that the block list depends on.
struct RamConventions {
  bool mapped_ram = false;
  bool ignore_shared = false;
  uint64_t advised_page_sizes = 0;  // POSTCOPY_ADVISE: the page sizes ored together
  uint32_t page_bytes = kTargetPageBytes;
};

class RamWalker {
 public:
  explicit RamWalker(InspectContext& context) noexcept : context_(context) {}

  RamConventions conventions;
  /// Blocks are taken as they are named: the list was on another connection.
  void accept_unlisted_blocks() noexcept { unlisted_ = true; }

  /// One body, up to and with EOS.
  Result<void> body(StreamReader& in) noexcept;
  /// A channel of records up to EOS or its end.
  Result<void> channel(StreamReader& in) noexcept;
  /// What the records since the last call added up to.
  Json take_section_summary() noexcept;
  Json totals() const noexcept { return total_.json(); }

 private:
  struct Counts {
    uint64_t normal = 0;
    uint64_t zero = 0;
    uint64_t xbzrle = 0;
    uint64_t compressed = 0;
    uint64_t data_bytes = 0;
    Json json() const noexcept;
    uint64_t pages() const noexcept { return normal + zero + xbzrle + compressed; }
  };
  struct Touched {
    Counts counts;
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
  };
  struct Block {
    std::string name;
    uint64_t used_bytes = 0;
  };

  Result<bool> one_record(StreamReader& in) noexcept;
  Result<void> block_list(StreamReader& in, uint64_t total) noexcept;
  Result<Json> block_extras(StreamReader& in, uint64_t used_bytes, bool last) noexcept;
  Result<Json> mapped_ram(StreamReader& in, uint64_t used_bytes) noexcept;
  Result<void> page(StreamReader& in, const RecordWord& record, uint64_t at) noexcept;
  Result<void> select_block(StreamReader& in, bool cont) noexcept;
  Result<uint64_t> payload(StreamReader& in, const RecordWord& record) noexcept;
  Result<uint64_t> xbzrle(StreamReader& in, uint64_t offset) noexcept;
  Result<uint64_t> compressed(StreamReader& in, uint64_t offset) noexcept;
  Result<void> stored(StreamReader& in, Result<void> written) const noexcept;
  Result<void> skip(StreamReader& in, uint64_t bytes, std::string_view what) const noexcept;
  void count(Counts& counts, RecordKind kind, uint64_t bytes) const noexcept;

  InspectContext& context_;
  std::vector<Block> blocks_;
  std::map<std::string, size_t, std::less<>> index_;
  bool listed_ = false;
  bool unlisted_ = false;
  size_t current_ = SIZE_MAX;
  Json list_;  // the block list of this section, if it had one
  std::map<size_t, Touched> touched_;
  Counts section_;
  uint64_t flushes_ = 0;
  uint64_t hooks_ = 0;
  Counts total_;
  std::unique_ptr<RamFiles> files_;  // of the listed blocks
};

}  // namespace tern::tool
