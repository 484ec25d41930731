// SPDX-License-Identifier: Apache-2.0
#include "ram/send/multifd_sender.h"

#include <algorithm>

#include "base/slices.h"

namespace tern {
namespace {

void prefetch(const std::byte* page) noexcept {
  constexpr size_t kLine = 64;
  for (size_t i = 0; i < 8; ++i) __builtin_prefetch(page + i * kLine);
}

}  // namespace

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
  iovec slice{bytes.data(), bytes.size()};
  return write_all({&slice, 1}, false);
}

Result<void> MultifdSender::send_sync() noexcept {
  MultifdPacket packet;
  packet.flags = kMultifdSync;
  packet.number = number_.fetch_add(1, std::memory_order_relaxed);
  pieces_.clear();
  append(packet);
  TERN_TRY(write_waiting());
  counters_.syncs.add(1);
  if (!style_.zero_copy) return {};
  const auto flushed = TERN_TRY(channel_.flush_zero_copy());
  if (flushed.writes != 0 && flushed.copied == flushed.writes) counters_.missed_zero_copy.add(1);
  return {};
}

// Normal pages first, zero pages behind them. A page that is written after it was looked at is
// dirty again and is sent again.
void MultifdSender::sort_out(size_t block, std::span<const uint64_t> pages,
                             MultifdPacket& packet) noexcept {
  pieces_.clear();
  std::array<uint64_t, kMultifdPages> zeros;
  for (size_t i = 0; i < pages.size(); ++i) {
    const uint64_t offset = pages[i] * kTargetPageBytes;
    std::byte* const page = memory_.page(block, pages[i]);
    // The processor's own prefetching stops at the end of a page.
    if (style_.zero_pages && i + 1 < pages.size()) prefetch(memory_.page(block, pages[i + 1]));
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
  std::span<const uint64_t> left(batch.pages.data(), batch.count);
  while (!left.empty()) {
    const size_t n = std::min(left.size(), kMultifdPages);
    TERN_TRY(send_packet(batch.block, left.first(n)));
    left = left.subspan(n);
  }
  return write_waiting();
}

Result<void> MultifdSender::send_packet(size_t block, std::span<const uint64_t> pages) noexcept {
  MultifdPacket packet;
  packet.pages_alloc = kMultifdPages;
  packet.block = memory_.blocks()[block].idstr;
  sort_out(block, pages, packet);
  packet.number = number_.fetch_add(1, std::memory_order_relaxed);
  return send_pages(packet);
}

// Packets that are sent as they are wait for each other: one write for all of a batch. One that is
// compressed leaves at once, its bytes are in the encoder's only buffer.
Result<void> MultifdSender::send_pages(MultifdPacket& packet) noexcept {
  packet.payload_bytes = packet.normal * kTargetPageBytes;
  if (encoder_ == nullptr) {
    append(packet);
    return style_.zero_copy ? write_without_copy() : Result<void>();
  }
  if (packet.normal == 0) {
    packet.flags |= style_.codec->flag;
    append(packet);
    return {};
  }
  TERN_TRY(write_waiting());
  return style_.adaptive ? send_adaptively(packet) : send_compressed(packet);
}

Result<void> MultifdSender::send_compressed(MultifdPacket& packet) noexcept {
  const auto packed = TERN_TRY(encoder_->encode(pieces_));
  packet.payload_bytes = static_cast<uint32_t>(packed.size());
  packet.flags |= style_.codec->flag;
  pieces_.clear();
  append(packet);
  // writev does not write through it; iovec has no const form.
  slices_.push_back({const_cast<std::byte*>(packed.data()), packed.size()});
  TERN_TRY(write_waiting());
  counters_.compressed.add(packet.normal);
  return {};
}

Result<void> MultifdSender::send_adaptively(MultifdPacket& packet) noexcept {
  const bool compress = adaptive_.compress();
  const Nanoseconds begin = clock_.now();
  if (compress) {
    TERN_TRY(send_compressed(packet));
  } else {
    append(packet);
    TERN_TRY(write_waiting());
  }
  // Under max-bandwidth a byte costs its share of the rate, however quickly the kernel takes it.
  const double least = floor_ns_per_byte_.load(std::memory_order_relaxed) *
                       static_cast<double>(packet.payload_bytes);
  const Nanoseconds cost = std::max(clock_.now() - begin, Nanoseconds(static_cast<int64_t>(least)));
  adaptive_.report(compress, packet.normal * kTargetPageBytes, cost);
  return {};
}

// The header and, unless they were packed, the pages.
void MultifdSender::append(const MultifdPacket& packet) noexcept {
  const auto header = std::span(headers_).subspan(waiting_.packets * kMultifdPacketBytes);
  ++waiting_.packets;
  waiting_.normal += packet.normal;
  waiting_.zero += packet.zero;
  encode(packet, header.first<kMultifdPacketBytes>());
  slices_.push_back({header.data(), kMultifdPacketBytes});
  for (const auto piece : pieces_) slices_.push_back({piece.data(), piece.size()});
}

Result<void> MultifdSender::write_waiting() noexcept {
  TERN_TRY(write_all(slices_, false));
  count_written();
  return {};
}

void MultifdSender::count_written() noexcept {
  counters_.packets.add(waiting_.packets);
  counters_.normal.add(waiting_.normal);
  counters_.zero.add(waiting_.zero);
  slices_.clear();
  waiting_ = {};
}

// The next header is written into the same place as this one: it goes the usual way.
Result<void> MultifdSender::write_without_copy() noexcept {
  TERN_TRY(write_all(std::span(slices_).first(1), false));
  TERN_TRY(write_all(std::span(slices_).subspan(1), true));
  count_written();
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
