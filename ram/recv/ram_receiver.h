// SPDX-License-Identifier: Apache-2.0
//
// RamReceiver: applies RAM sections of the main stream to guest memory. Everything the peer says is
// checked here before a byte is placed. One thread (mig/dst/listen).
//
// With multifd the pages travel on other channels, and this stream says when those are to be waited
// for. Sources differ in where: QEMU up to 8.0 (and machine types up to 8.0) at the EOS of every
// section, later ones at MULTIFD_FLUSH. Nothing announces it; the START section, in which only the
// later ones put a MULTIFD_FLUSH, gives it away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/stream_io.h"
#include "ram/recv/ram_target.h"
#include "ram/wire/ram_record.h"
#include "stats/ram_counters.h"
#include "tern/result.h"

namespace tern {

/// Unpacks compressed pages beside the thread that reads the stream.
class PageUnpacker {
 public:
  virtual ~PageUnpacker() = default;
  /// The payload of the page at `to`, which stands at `offset` of the stream. It is copied. May
  /// block until there is room. Errors: of a page before.
  virtual Result<void> take(std::byte* to, std::span<const std::byte> payload,
                            uint64_t offset) noexcept = 0;
  /// Something else is about to be placed at `to`: what was taken for it is there before.
  virtual Result<void> settle(const std::byte* to) noexcept = 0;
  /// All that was taken is in memory. Errors: peer_protocol, of the first page that was broken.
  virtual Result<void> finish() noexcept = 0;
};

/// Where the main stream and the multifd channels meet.
class SyncPoints {
 public:
  virtual ~SyncPoints() = default;
  /// The main stream is at its next sync point: waits until every channel is at its own, then lets
  /// all go on. Errors: of whichever channel failed, timed_out.
  virtual Result<void> pass() noexcept = 0;
};

class RamReceiver {
 public:
  /// `points` is what the multifd channels wait for, nullptr where multifd is off; `unpacker`
  /// likewise for compress. XBZRLE is always read.
  RamReceiver(RamTarget& target, RamCounters& counters, SyncPoints* points = nullptr,
              PageUnpacker* unpacker = nullptr) noexcept
      : target_(target),
        memory_(target.memory()),
        counters_(counters),
        points_(points),
        unpacker_(unpacker) {}

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
  Result<std::byte*> place_settled(StreamReader& in, const RecordWord& record) noexcept;
  Result<void> receive_page(StreamReader& in, const RecordWord& record) noexcept;
  Result<void> receive_zero(StreamReader& in, const RecordWord& record) noexcept;
  Result<void> receive_xbzrle(StreamReader& in, const RecordWord& record) noexcept;
  Result<void> receive_compressed(StreamReader& in, const RecordWord& record) noexcept;
  Result<void> flush(StreamReader& in) noexcept;
  Result<void> end_of_section(bool start) noexcept;

  RamTarget& target_;
  const GuestMemory& memory_;
  RamCounters& counters_;
  SyncPoints* const points_;
  PageUnpacker* const unpacker_;
  bool flushed_ = false;      // MULTIFD_FLUSH stood in the START section
  bool per_section_ = false;  // every EOS is a sync point
  uint64_t listed_bytes_ = 0;
  bool has_list_ = false;
  std::optional<size_t> current_;
  uint64_t page_ = 0;
};

}  // namespace tern
