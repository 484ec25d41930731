// SPDX-License-Identifier: Apache-2.0
#include "ram/send/multifd_sender.h"

#include <algorithm>

#include "base/slices.h"

namespace tern {

MultifdSender::MultifdSender(const GuestMemory& memory, Channel& channel, ChannelCounters& counters,
                             std::atomic<uint64_t>& number,
                             const std::atomic<double>& floor_ns_per_byte, const PageOps& ops,
                             Clock& clock) noexcept
    : memory_(memory),
      channel_(channel),
      counters_(counters),
      number_(number),
      floor_ns_per_byte_(floor_ns_per_byte),
      ops_(ops),
      clock_(clock) {}

Result<void> MultifdSender::set_style(const MultifdStyle& style) noexcept {
  style_ = style;
  if (style.zero_copy) TERN_TRY(channel_.enable_zero_copy());
  if (style.codec != nullptr) encoder_ = TERN_TRY(style.codec->make_encoder(style.level));
  return {};
}

Result<void> MultifdSender::send_initial(const MultifdInitial& initial) noexcept {
  std::array<std::byte, kMultifdInitialBytes> bytes;
  encode(initial, bytes);
  slices_.assign(1, {bytes.data(), bytes.size()});
  return write_all(slices_, false);
}

Result<void> MultifdSender::send_sync() noexcept {
  MultifdPacket packet;
  packet.flags = kMultifdSync;
  packet.number = number_.fetch_add(1, std::memory_order_relaxed);
  encode(packet, header_);
  slices_.assign(1, {header_.data(), header_.size()});
  TERN_TRY(write_all(slices_, false));
  counters_.packets.add(1);
  counters_.syncs.add(1);
  if (!style_.zero_copy) return {};
  const auto flushed = TERN_TRY(channel_.flush_zero_copy());
  if (flushed.writes != 0 && flushed.copied == flushed.writes) counters_.missed_zero_copy.add(1);
  return {};
}

// Normal pages first, zero pages behind them. A page that is written after it was looked at is
// dirty again and is sent again.
void MultifdSender::sort_out(const PageBatch& batch, MultifdPacket& packet) noexcept {
  pieces_.clear();
  std::array<uint64_t, kMultifdPages> zeros;
  for (size_t i = 0; i < batch.count; ++i) {
    const uint64_t offset = batch.pages[i] * kTargetPageBytes;
    std::byte* const page = memory_.page(batch.block, batch.pages[i]);
    if (style_.zero_pages && ops_.is_zero(page, kTargetPageBytes)) {
      zeros[packet.zero++] = offset;
      continue;
    }
    packet.offsets[packet.normal++] = offset;
    if (!pieces_.empty() && pieces_.back().data() + pieces_.back().size() == page) {
      pieces_.back() = {pieces_.back().data(), pieces_.back().size() + kTargetPageBytes};
    } else {
      pieces_.emplace_back(page, kTargetPageBytes);
    }
  }
  std::copy_n(zeros.begin(), packet.zero, packet.offsets.begin() + packet.normal);
}

Result<void> MultifdSender::send(const PageBatch& batch) noexcept {
  MultifdPacket packet;
  packet.pages_alloc = kMultifdPages;
  packet.block = memory_.blocks()[batch.block].idstr;
  sort_out(batch, packet);
  packet.number = number_.fetch_add(1, std::memory_order_relaxed);
  TERN_TRY(send_pages(packet));
  counters_.packets.add(1);
  counters_.normal.add(packet.normal);
  counters_.zero.add(packet.zero);
  return {};
}

Result<void> MultifdSender::send_pages(MultifdPacket& packet) noexcept {
  const bool compress =
      encoder_ != nullptr && packet.normal != 0 && (!style_.adaptive || adaptive_.compress());
  const Nanoseconds begin = style_.adaptive ? clock_.now() : Nanoseconds{0};
  slices_.assign(1, {header_.data(), header_.size()});
  packet.payload_bytes = packet.normal * kTargetPageBytes;
  if (compress) {
    const auto packed = TERN_TRY(encoder_->encode(pieces_));
    packet.payload_bytes = static_cast<uint32_t>(packed.size());
    // writev does not write through it; iovec has no const form.
    slices_.push_back({const_cast<std::byte*>(packed.data()), packed.size()});
    counters_.compressed.add(packet.normal);
  } else {
    for (const auto piece : pieces_) slices_.push_back({piece.data(), piece.size()});
  }
  if (encoder_ != nullptr && (compress || (packet.normal == 0 && packet.zero != 0))) {
    packet.flags |= style_.codec->flag;
  }
  encode(packet, header_);
  if (style_.zero_copy) {
    // The next header is written into the same place as this one: it goes the usual way.
    TERN_TRY(write_all(std::span(slices_).first(1), false));
    return write_all(std::span(slices_).subspan(1), true);
  }
  if (!style_.adaptive) return write_all(slices_, false);
  const Nanoseconds packed_at = clock_.now();
  TERN_TRY(write_all(slices_, false));
  if (encoder_ == nullptr || packet.normal == 0) return {};
  // Under max-bandwidth a byte costs its share of the rate, however quickly the kernel takes it.
  const double least = floor_ns_per_byte_.load(std::memory_order_relaxed) *
                       static_cast<double>(packet.payload_bytes);
  const Nanoseconds link =
      std::max(clock_.now() - packed_at, Nanoseconds(static_cast<int64_t>(least)));
  adaptive_.report(compress, packet.normal * kTargetPageBytes, packed_at - begin + link);
  return {};
}

Result<void> MultifdSender::write_all(std::span<iovec> left, bool zero_copy) noexcept {
  while (!left.empty()) {
    const size_t taken =
        TERN_TRY(zero_copy ? channel_.write_zero_copy(left) : channel_.write_some(left));
    counters_.bytes.add(taken);
    advance(left, taken);
  }
  return {};
}

}  // namespace tern
