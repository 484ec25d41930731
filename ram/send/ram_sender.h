// SPDX-License-Identifier: Apache-2.0
//
// RamSender: turns dirty bits into records of the main stream, or hands the pages to the channels
// that carry them. It owns the migration's dirty bitmap and the place of the scan; it knows nothing
// of sections, rates or when to stop. One thread (mig/src/main).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/stream_io.h"
#include "ram/guest_memory.h"
#include "ram/send/page_batch.h"
#include "ram/send/page_packer.h"
#include "ram/send/xbzrle_stage.h"
#include "ram/simd/page_ops.h"
#include "stats/ram_counters.h"
#include "tern/dirty_bitmap.h"
#include "tern/result.h"

namespace tern {

struct RamSenderOptions {
  bool find_zeros = true;                ///< a record instead of a page of zeros
  PageSink* sink = nullptr;              ///< takes the other pages; nullptr: the main stream
  XbzrleStage* xbzrle = nullptr;         ///< says how they travel; not together with a sink
  PagePacker* packer = nullptr;          ///< compresses them; alone as well
  CompressCounters* compress = nullptr;  ///< with a packer
};

class RamSender {
 public:
  RamSender(const GuestMemory& memory, StreamWriter& out, RamCounters& counters, const PageOps& ops,
            RamSenderOptions options = {}) noexcept;

  DirtyBitmap& dirty() noexcept { return dirty_; }
  uint64_t pending_bytes() const noexcept { return dirty_.count() * kTargetPageBytes; }

  /// The block list: body of the START section, without its EOS.
  Result<void> send_block_list() noexcept;

  /// Sends dirty pages in address order, going on where the last call stopped, until about
  /// `max_bytes` are sent or nothing is dirty. Sends at least one page if there is one.
  Result<void> send_dirty(uint64_t max_bytes) noexcept;
  /// The next record names its block: somebody else wrote records of another block in between.
  void forget_named_block() noexcept { last_named_ = memory_.count(); }
  /// EOS: ends a body.
  Result<void> end_body() noexcept;

 private:
  Result<uint64_t> send_page(size_t block, uint64_t page) noexcept;
  Result<void> put_page(size_t block, uint64_t page, const std::byte* data) noexcept;
  Result<void> put_by_xbzrle(size_t block, uint64_t page) noexcept;
  Result<void> put_by_packer(size_t block, uint64_t page, const std::byte* data) noexcept;
  Result<bool> put_packed(bool wait) noexcept;
  Result<void> put_all_packed() noexcept;
  Result<uint64_t> send_run(size_t block, PageRun run, uint64_t max_bytes) noexcept;
  std::string_view name_for(size_t block) noexcept;

  const GuestMemory& memory_;
  StreamWriter& out_;
  RamCounters& counters_;
  const PageOps& ops_;
  const RamSenderOptions options_;
  DirtyBitmap dirty_;
  size_t block_ = 0;
  uint64_t page_ = 0;
  size_t last_named_;  // block of the last record, for CONTINUE
};

}  // namespace tern
