// SPDX-License-Identifier: Apache-2.0
//
// MultifdReceiver: applies the packets of one multifd channel to guest memory. Everything the peer
// says is checked here before a byte is placed. It knows nothing of the other channels: where it
// must wait for them it asks its SyncWaiter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/channel.h"
#include "ram/codec/page_codec.h"
#include "ram/recv/ram_target.h"
#include "ram/wire/multifd_packet.h"
#include "stats/ram_counters.h"
#include "tern/result.h"

namespace tern {

/// What the channel has to do with the rest of the migration.
class SyncWaiter {
 public:
  virtual ~SyncWaiter() = default;
  /// The channel came to a SYNC: blocks until the main stream is there, too. Errors: the migration
  /// ended.
  virtual Result<void> arrive() noexcept = 0;
  /// The memory, once the block list is known (after the first SYNC); nullptr before.
  virtual RamTarget* target() noexcept = 0;
  /// Whether packets that are not compressed may stand between compressed ones (tern's dialect).
  virtual bool mixes_methods() noexcept = 0;
};

/// One thread.
class MultifdReceiver {
 public:
  /// `codec`: nullptr for method none. `first_offset`: bytes of the channel that were read before,
  /// for messages.
  static Result<std::unique_ptr<MultifdReceiver>> create(Channel& channel, const PageCodec* codec,
                                                         ChannelCounters& counters,
                                                         uint64_t first_offset) noexcept;

  /// Reads packets until the peer closes its side between two of them. Errors name the offset in
  /// the channel.
  Result<void> run(SyncWaiter& waiter) noexcept;

 private:
  MultifdReceiver(Channel& channel, const PageCodec* codec, std::unique_ptr<PageDecoder> decoder,
                  ChannelCounters& counters, uint64_t first_offset) noexcept;

  /// false: the channel ended before the header's first byte.
  Result<bool> read_header() noexcept;
  Result<void> take_packet(const MultifdPacket& packet, SyncWaiter& waiter) noexcept;
  Result<void> place(const MultifdPacket& packet) noexcept;
  Result<void> check_method(const MultifdPacket& packet, bool mixed) const noexcept;
  void gather(const MultifdPacket& packet, size_t block, RamTarget& target) noexcept;
  Result<void> read_payload(size_t left) noexcept;
  Error malformed(const std::string& why) const noexcept;

  Channel& channel_;
  const PageCodec* const codec_;
  const std::unique_ptr<PageDecoder> decoder_;
  ChannelCounters& counters_;
  std::array<std::byte, kMultifdPacketBytes> header_;
  size_t header_bytes_ = 0;  // of the next packet, that came with the payload before it
  uint64_t packet_at_;       // offset of the packet that is being read
  uint64_t read_bytes_;
  std::unique_ptr<std::byte[]> payload_;      // of compressed packets
  std::vector<std::span<std::byte>> places_;  // of the packet's pages, neighbours joined
  std::vector<iovec> pieces_;
};

}  // namespace tern
