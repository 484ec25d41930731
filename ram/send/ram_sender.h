// SPDX-License-Identifier: Apache-2.0
//
// RamSender: turns dirty bits into records of the main stream. It owns the migration's dirty bitmap
// and the place of the scan; it knows nothing of sections, rates or when to stop. One thread
// (mig/src/main).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/stream_io.h"
#include "ram/guest_memory.h"
#include "ram/simd/page_ops.h"
#include "stats/ram_counters.h"
#include "tern/dirty_bitmap.h"
#include "tern/result.h"

namespace tern {

class RamSender {
 public:
  RamSender(const GuestMemory& memory, StreamWriter& out, RamCounters& counters,
            const PageOps& ops) noexcept;

  DirtyBitmap& dirty() noexcept { return dirty_; }
  uint64_t pending_bytes() const noexcept { return dirty_.count() * kTargetPageBytes; }

  /// The block list and its EOS: body of the START section.
  Result<void> send_block_list() noexcept;

  struct Sent {
    uint64_t pages = 0;
    uint64_t normal_pages = 0;
    bool wrapped = false;  // the scan came past the last block
  };
  /// Sends dirty pages in address order, going on where the last call stopped, until about
  /// `max_bytes` are in the stream or nothing is dirty. Sends at least one page if there is one.
  Result<Sent> send_dirty(uint64_t max_bytes) noexcept;
  /// The next record names its block: somebody else wrote records of another block in between.
  void forget_named_block() noexcept { last_named_ = memory_.count(); }
  /// EOS: ends a body.
  Result<void> end_body() noexcept;

 private:
  Result<void> send_page(size_t block, uint64_t page, Sent& sent) noexcept;

  const GuestMemory& memory_;
  StreamWriter& out_;
  RamCounters& counters_;
  const PageOps& ops_;
  DirtyBitmap dirty_;
  size_t block_ = 0;
  uint64_t page_ = 0;
  size_t last_named_;  // block of the last record, for CONTINUE
};

}  // namespace tern
