// SPDX-License-Identifier: Apache-2.0
//
// RamReceiver: applies RAM sections of the main stream to guest memory. Everything the peer says is
// checked here before a byte is placed. One thread (mig/dst/listen).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/stream_io.h"
#include "ram/guest_memory.h"
#include "ram/simd/page_ops.h"
#include "ram/wire/ram_record.h"
#include "stats/ram_counters.h"
#include "tern/dirty_bitmap.h"
#include "tern/result.h"

namespace tern {

class RamReceiver {
 public:
  /// `maybe_nonzero`: pages that may hold something already (find_populated); zero records for the
  /// others cost no memory.
  RamReceiver(const GuestMemory& memory, DirtyBitmap maybe_nonzero, RamCounters& counters,
              const PageOps& ops) noexcept;

  /// One body, up to and with EOS. The block list is expected in the first START and nowhere else.
  Result<void> receive_body(StreamReader& in, bool start) noexcept;
  /// tern's dialect: zero whole ranges of a block.
  Result<void> zero_run(StreamReader& in, uint16_t length) noexcept;
  bool has_block_list() const noexcept { return has_list_; }
  /// Bytes of the blocks in the list.
  uint64_t listed_bytes() const noexcept { return listed_bytes_; }

 private:
  Result<void> receive_block_list(StreamReader& in, uint64_t total) noexcept;
  Result<size_t> receive_block_name(StreamReader& in, bool cont) noexcept;
  Result<std::byte*> place(StreamReader& in, const RecordWord& record) noexcept;
  void zero_page(size_t block, uint64_t page) noexcept;

  const GuestMemory& memory_;
  DirtyBitmap maybe_nonzero_;
  RamCounters& counters_;
  const PageOps& ops_;
  std::vector<bool> listed_;
  uint64_t listed_bytes_ = 0;
  bool has_list_ = false;
  std::optional<size_t> current_;
  uint64_t page_ = 0;
};

}  // namespace tern
