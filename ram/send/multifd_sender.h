// SPDX-License-Identifier: Apache-2.0
//
// MultifdSender: puts batches of pages on one multifd channel. It knows nothing of the other
// channels, of rates or of when to sync.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/channel.h"
#include "ram/codec/page_codec.h"
#include "ram/guest_memory.h"
#include "ram/send/adaptive.h"
#include "ram/send/page_batch.h"
#include "ram/simd/page_ops.h"
#include "stats/ram_counters.h"
#include "tern/clock.h"
#include "tern/result.h"

namespace tern {

/// How packets are made; the same for all channels of a migration.
struct MultifdStyle {
  const PageCodec* codec = nullptr;  ///< nullptr: none
  uint32_t level = 0;
  bool zero_pages = false;  ///< look for pages of zeros and list them in the packet
  bool zero_copy = false;   ///< pages leave without a copy, where the kernel can; method none
  bool adaptive = false;    ///< the peer takes packets that are not compressed between others
};

/// One thread.
class MultifdSender {
 public:
  /// `number`: of packets, over all channels. `floor_ns_per_byte`: what a byte on the wire costs at
  /// least by max-bandwidth, in ns.
  MultifdSender(const GuestMemory& memory, Channel& channel, ChannelCounters& counters,
                std::atomic<uint64_t>& number, const std::atomic<double>& floor_ns_per_byte,
                const PageOps& ops, Clock& clock) noexcept;

  Result<void> send_initial(const MultifdInitial& initial) noexcept;
  /// Before the first batch. Errors: resource_exhausted.
  Result<void> set_style(const MultifdStyle& style) noexcept;
  Result<void> send(const PageBatch& batch) noexcept;
  Result<void> send_sync() noexcept;

 private:
  Result<void> send_packet(size_t block, std::span<const uint64_t> pages) noexcept;
  void sort_out(size_t block, std::span<const uint64_t> pages, MultifdPacket& packet) noexcept;
  Result<void> send_pages(MultifdPacket& packet) noexcept;
  Result<void> send_compressed(MultifdPacket& packet) noexcept;
  Result<void> send_adaptively(MultifdPacket& packet) noexcept;
  void append(const MultifdPacket& packet) noexcept;
  Result<void> write_waiting() noexcept;
  void count_written() noexcept;
  Result<void> write_without_copy() noexcept;
  Result<void> write_all(std::span<iovec> left, bool zero_copy) noexcept;

  const GuestMemory& memory_;
  Channel& channel_;
  ChannelCounters& counters_;
  std::atomic<uint64_t>& number_;
  const std::atomic<double>& floor_ns_per_byte_;
  const PageOps& ops_;
  Clock& clock_;
  MultifdStyle style_;
  std::unique_ptr<PageEncoder> encoder_;
  AdaptiveCompression adaptive_;
  static constexpr size_t kPackets = PageBatch::kMaxPages / kMultifdPages;
  std::array<std::byte, kPackets * kMultifdPacketBytes> headers_;  // of the packets that wait
  struct Waiting {
    size_t packets = 0;
    uint64_t normal = 0;
    uint64_t zero = 0;
  };
  Waiting waiting_;
  std::vector<std::span<std::byte>> pieces_;  // the normal pages, neighbours joined
  std::vector<iovec> slices_;
};

}  // namespace tern
