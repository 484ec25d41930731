// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/multifd_receiver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/slices.h"

namespace tern {
Result<std::unique_ptr<MultifdReceiver>> MultifdReceiver::create(Channel& channel,
                                                                 const PageCodec* codec,
                                                                 ChannelCounters& counters,
                                                                 uint64_t first_offset) noexcept {
  std::unique_ptr<PageDecoder> decoder;
  if (codec != nullptr) decoder = TERN_TRY(codec->make_decoder());
  return std::unique_ptr<MultifdReceiver>(
      new MultifdReceiver(channel, codec, std::move(decoder), counters, first_offset));
}

MultifdReceiver::MultifdReceiver(Channel& channel, const PageCodec* codec,
                                 std::unique_ptr<PageDecoder> decoder, ChannelCounters& counters,
                                 uint64_t first_offset) noexcept
    : channel_(channel),
      codec_(codec),
      decoder_(std::move(decoder)),
      counters_(counters),
      packet_at_(first_offset),
      read_bytes_(first_offset),
      payload_(codec != nullptr ? new std::byte[kMultifdMaxPayload] : nullptr) {}

Error MultifdReceiver::malformed(const std::string& why) const noexcept {
  return Error(ErrorCode::peer_protocol, "at offset " + std::to_string(packet_at_) + ": " + why);
}

Result<void> MultifdReceiver::run(SyncWaiter& waiter) noexcept {
  while (TERN_TRY(read_header())) {
    const auto packet = parse_multifd_packet(header_);
    if (!packet) return malformed(packet.error().message());
    TERN_TRY(take_packet(*packet, waiter));
  }
  return {};
}

Result<bool> MultifdReceiver::read_header() noexcept {
  packet_at_ = read_bytes_ - header_bytes_;
  bool prefix_known = false;
  for (;;) {
    if (!prefix_known && header_bytes_ >= kMultifdPrefixBytes) {
      // At once, and not when the rest has come: a device packet is shorter than the rest.
      const auto flags = parse_multifd_prefix(std::span(header_).first<kMultifdPrefixBytes>());
      if (!flags) return malformed(flags.error().message());
      if (*flags == kMultifdDeviceState) {
        return malformed("device state on a multifd channel: no device here takes it there");
      }
      prefix_known = true;
    }
    if (header_bytes_ == header_.size()) break;
    const size_t got =
        TERN_TRY(channel_.read_some(std::span(header_).subspan(header_bytes_)).context("packet"));
    if (got == 0) {
      if (header_bytes_ == 0) return false;
      return Error(ErrorCode::channel, "end of the channel at offset " +
                                           std::to_string(read_bytes_) +
                                           ", inside the header of a packet");
    }
    header_bytes_ += got;
    read_bytes_ += got;
    counters_.bytes.add(got);
  }
  header_bytes_ = 0;
  return true;
}

Result<void> MultifdReceiver::check_method(const MultifdPacket& packet, bool mixed) const noexcept {
  const uint32_t method = packet.flags & kMultifdMethods;
  const uint32_t expected = codec_ != nullptr ? codec_->flag : 0;
  if (method == expected || (mixed && method == 0)) return {};
  return malformed("the packet's method is " + std::to_string(method) + " (0 none, 2 zlib, 4 " +
                   "zstd, …), here it is " + std::to_string(expected) +
                   ": multifd-compression must be equal on both sides");
}

Result<void> MultifdReceiver::take_packet(const MultifdPacket& packet,
                                          SyncWaiter& waiter) noexcept {
  counters_.packets.add(1);
  if (packet.normal + packet.zero != 0) {
    RamTarget* const target = waiter.target();
    if (target == nullptr) return malformed("pages before the list of RAM blocks");
    TERN_TRY(check_method(packet, waiter.mixes_methods()));
    const auto block = target->find_listed(packet.block);
    if (!block) return malformed("pages for unknown RAM block '" + packet.block + "'");
    const uint64_t used = target->memory().blocks()[*block].used_bytes;
    for (size_t i = 0; i < packet.normal + packet.zero; ++i) {
      if (packet.offsets[i] > used - kTargetPageBytes) {
        return malformed("page at " + std::to_string(packet.offsets[i]) +
                         " is outside RAM block '" + packet.block + "'");
      }
    }
    gather(packet, *block, *target);
    if (packet.normal != 0) TERN_TRY(place(packet));
    for (size_t i = 0; i < packet.normal; ++i) {
      target->mark(*block, {packet.offsets[i] / kTargetPageBytes, 1});
    }
    for (size_t i = packet.normal; i < packet.normal + packet.zero; ++i) {
      target->zero_page(*block, packet.offsets[i] / kTargetPageBytes);
    }
    counters_.normal.add(packet.normal);
    counters_.zero.add(packet.zero);
  }
  if ((packet.flags & kMultifdSync) == 0) return {};
  counters_.syncs.add(1);
  return waiter.arrive();
}

void MultifdReceiver::gather(const MultifdPacket& packet, size_t block,
                             RamTarget& target) noexcept {
  places_.clear();
  PageRun run;

  const auto take = [&] {
    if (run.count == 0) return;
    target.prepare(block, run);
    places_.emplace_back(target.memory().page(block, run.first), run.count * kTargetPageBytes);
  };
  for (size_t i = 0; i < packet.normal; ++i) {
    const uint64_t page = packet.offsets[i] / kTargetPageBytes;
    if (run.count != 0 && page == run.first + run.count) {
      ++run.count;
      continue;
    }
    take();
    run = {page, 1};
  }
  take();
}

Result<void> MultifdReceiver::place(const MultifdPacket& packet) noexcept {
  pieces_.clear();
  if ((packet.flags & kMultifdMethods) == 0) {
    for (const auto piece : places_) pieces_.push_back({piece.data(), piece.size()});
    return read_payload(packet.payload_bytes);
  }
  pieces_.push_back({payload_.get(), packet.payload_bytes});
  TERN_TRY(read_payload(packet.payload_bytes));
  const auto decoded = decoder_->decode({payload_.get(), packet.payload_bytes}, places_);
  if (!decoded) return malformed(decoded.error().message());
  counters_.compressed.add(packet.normal);
  return {};
}

// With the last bytes of the payload as much of the next header as is there: one call per packet
// where the network keeps up.
Result<void> MultifdReceiver::read_payload(size_t left) noexcept {
  pieces_.push_back({header_.data(), header_.size()});
  std::span<iovec> pieces(pieces_);
  while (left > 0) {
    const size_t got = TERN_TRY(channel_.read_into(pieces).context("pages"));
    if (got == 0) {
      return Error(ErrorCode::channel, "end of the channel at offset " +
                                           std::to_string(read_bytes_) +
                                           ", inside the pages of a packet");
    }
    read_bytes_ += got;
    counters_.bytes.add(got);
    if (got > left) header_bytes_ = got - left;
    left -= std::min(left, got);
    advance(pieces, got);
  }
  return {};
}

}  // namespace tern
