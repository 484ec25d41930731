// SPDX-License-Identifier: Apache-2.0
//
// A multifd channel behind its set-up, into two blocks between pages that nobody may touch, by
// every method: the initial packet of the input is skipped, and its number chooses the method.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "ram/recv/multifd_receiver.h"
#include "tests/doubles/guarded_pages.h"
#include "tests/doubles/memory_channel.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

constexpr size_t kPages = 256;
uint64_t successes = 0;

// Lets the channel go on at once.
class Open final : public SyncWaiter {
 public:
  Open(RamTarget& target, bool mixed) : target_(target), mixed_(mixed) {}
  Result<void> arrive() noexcept override { return {}; }
  RamTarget* target() noexcept override { return &target_; }
  bool mixes_methods() noexcept override { return mixed_; }

 private:
  RamTarget& target_;
  const bool mixed_;
};

// By the first packet that names a method: so a capture keeps its own.
const PageCodec* choose(std::span<const std::byte> packets, unsigned id) {
  constexpr MultifdCompression kMethods[] = {MultifdCompression::none, MultifdCompression::zlib,
                                             MultifdCompression::zstd};
  if (id >= 2) return find_page_codec(kMethods[id % std::size(kMethods)]);
  const size_t seen = std::min(packets.size(), 3 * kMultifdPacketBytes);
  for (size_t at = 11; at < seen; at += kMultifdPacketBytes) {
    for (const PageCodec& codec : page_codecs()) {
      if (std::to_integer<uint32_t>(packets[at]) == codec.flag) return &codec;
    }
  }
  return nullptr;
}

std::string run(std::span<const std::byte> input) {
  static const test::GuardedPages ram(kPages);
  static const test::GuardedPages small(2);
  const std::vector<RamBlock> blocks{
      {.idstr = "m", .host = ram.fresh(), .used_bytes = kPages * kTargetPageBytes},
      {.idstr = "small", .host = small.data(), .used_bytes = 2 * kTargetPageBytes}};
  const auto memory = GuestMemory::create(blocks);
  if (!memory) return "the machine is wrong";
  RamTarget target(*memory, DirtyBitmap(blocks), best_page_ops());
  target.list(0);
  target.list(1);
  if (input.size() < kMultifdInitialBytes) return {};
  const auto initial = parse_multifd_initial(input.first<kMultifdInitialBytes>());
  if (!initial) return check_error(initial.error(), {ErrorCode::peer_protocol});
  const auto packets = input.subspan(kMultifdInitialBytes);
  // How the bytes come in pieces must not matter; the input itself chooses.
  static constexpr size_t kPieces[] = {SIZE_MAX, SIZE_MAX, 4096, 61};
  test::MemoryChannel channel({packets.begin(), packets.end()});
  channel.read_piece = kPieces[initial->uuid[0] % std::size(kPieces)];
  ChannelCounters counters;
  const auto receiver = MultifdReceiver::create(channel, choose(packets, initial->id), counters,
                                                kMultifdInitialBytes);
  if (!receiver) return "no memory";
  Open waiter(target, initial->uuid[1] % 2 != 0);
  const auto done = (*receiver)->run(waiter);
  if (counters.bytes.get() > packets.size()) return "more bytes than there were";
  if (!done) {
    return check_error(done.error(), {ErrorCode::peer_protocol, ErrorCode::channel});
  }
  if (counters.bytes.get() != packets.size()) return "bytes were not read";
  ++successes;
  return {};
}

}  // namespace

FuzzTarget multifd_target() {
  return {"multifd", {"multifd-", "channel-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
