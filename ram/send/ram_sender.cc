// SPDX-License-Identifier: Apache-2.0
#include "ram/send/ram_sender.h"

#include <algorithm>
#include <vector>

#include "ram/wire/ram_record.h"

namespace tern {

RamSender::RamSender(const GuestMemory& memory, StreamWriter& out, RamCounters& counters,
                     const PageOps& ops, RamSenderOptions options) noexcept
    : memory_(memory),
      out_(out),
      counters_(counters),
      ops_(ops),
      options_(options),
      dirty_(memory.blocks()),
      last_named_(memory.count()) {}

Result<void> RamSender::send_block_list() noexcept {
  TERN_TRY(write_block_list_head(out_, memory_.total_bytes()));
  // Largest first, as QEMU lists them; the order has no meaning.
  std::vector<const RamBlock*> order;
  for (const RamBlock& b : memory_.blocks()) order.push_back(&b);
  std::stable_sort(order.begin(), order.end(), [](const RamBlock* a, const RamBlock* b) {
    return a->used_bytes > b->used_bytes;
  });
  for (const RamBlock* b : order) TERN_TRY(write_block(out_, b->idstr, b->used_bytes));
  return {};
}

Result<void> RamSender::end_body() noexcept { return write_eos(out_); }

std::string_view RamSender::name_for(size_t block) noexcept {
  if (last_named_ == block) return {};
  last_named_ = block;
  return memory_.blocks()[block].idstr;
}

// By reference: a guest's page may change until the flush. Then it is dirty again and is sent
// again.
Result<void> RamSender::put_page(size_t block, uint64_t page, const std::byte* data) noexcept {
  TERN_TRY(write_record_head(out_, RecordKind::page, page * kTargetPageBytes, name_for(block)));
  TERN_TRY(out_.put_reference(data, kTargetPageBytes));
  counters_.normal.add(1);
  return {};
}

Result<void> RamSender::put_by_xbzrle(size_t block, uint64_t page) noexcept {
  const XbzrleStage::Decision decision = options_.xbzrle->decide(block, page);
  switch (decision.how) {
    case XbzrleStage::How::nothing:
      counters_.patched.add(1);
      return {};
    case XbzrleStage::How::patch: {
      counters_.patched.add(1);
      const std::string_view name = name_for(block);
      TERN_TRY(write_xbzrle(out_, page * kTargetPageBytes, name, decision.bytes));
      options_.xbzrle->sent_patch(kXbzrleHeadBytes + decision.bytes.size() +
                                  (name.empty() ? 0 : 1 + name.size()));
      return {};
    }
    case XbzrleStage::How::guest_page:
    case XbzrleStage::How::cached_page:
      break;
  }
  return put_page(block, page, decision.bytes.data());
}

// Compressed pages name no block, as QEMU's do not: the first page of a block goes as it is.
Result<void> RamSender::put_by_packer(size_t block, uint64_t page, const std::byte* data) noexcept {
  if (last_named_ != block) return put_page(block, page, data);
  while (!options_.packer->take(page, data)) {
    options_.compress->busy.add(1);
    if (!options_.packer->waits()) return put_page(block, page, data);
    TERN_TRY(put_packed(true));
  }
  while (TERN_TRY(put_packed(false))) {
  }
  return {};
}

// false: there is none, or none that is done.
Result<bool> RamSender::put_packed(bool wait) noexcept {
  const auto packed = TERN_TRY(options_.packer->give(wait));
  if (!packed) return false;
  const uint64_t offset = packed->page * kTargetPageBytes;
  if (!packed->compressed) {
    TERN_TRY(write_record_head(out_, RecordKind::page, offset, {}));
    TERN_TRY(out_.put(packed->bytes));
    counters_.normal.add(1);
    return true;
  }
  TERN_TRY(write_compressed(out_, offset, {}, packed->bytes));
  counters_.compressed.add(1);
  options_.compress->bytes.add(kCompressedHeadBytes + packed->bytes.size());
  return true;
}

Result<void> RamSender::put_all_packed() noexcept {
  if (options_.packer == nullptr) return {};
  while (TERN_TRY(put_packed(true))) {
  }
  return {};
}

// Returns what it cost, in bytes. Pages of zeros or without a change put few bytes in the stream
// but cost a read each: they count as a cache line of work.
Result<uint64_t> RamSender::send_page(size_t block, uint64_t page) noexcept {
  constexpr uint64_t kLeastCost = 64;
  const std::byte* data = memory_.page(block, page);
  if (last_named_ != block) TERN_TRY(put_all_packed());  // they are of the block named last
  const uint64_t offset = page * kTargetPageBytes;
  if (options_.find_zeros && ops_.is_zero(data, kTargetPageBytes)) {
    TERN_TRY(write_record_head(out_, RecordKind::zero, offset, name_for(block)));
    TERN_TRY(out_.put_u8(0));
    counters_.duplicate.add(1);
    if (options_.xbzrle != nullptr) options_.xbzrle->sent_as_zero(block, page);
    return kLeastCost;
  }
  if (options_.sink != nullptr) {
    TERN_TRY(options_.sink->take(block, {page, 1}));
    return uint64_t{kTargetPageBytes};
  }
  const uint64_t before = out_.offset();
  const bool patches = options_.xbzrle != nullptr && options_.xbzrle->is_on();
  if (options_.packer != nullptr) {
    TERN_TRY(put_by_packer(block, page, data));
  } else {
    TERN_TRY(patches ? put_by_xbzrle(block, page) : put_page(block, page, data));
  }
  return std::max(out_.offset() - before, kLeastCost);
}

Result<uint64_t> RamSender::send_run(size_t block, PageRun run, uint64_t max_bytes) noexcept {
  BlockBitmap& map = dirty_.block(block);
  if (!options_.find_zeros && options_.sink != nullptr) {
    run.count = std::min(run.count, std::max<uint64_t>(max_bytes / kTargetPageBytes, 1));
    TERN_TRY(options_.sink->take(block, run));
    map.clear_run(run);
    page_ = run.first + run.count;
    return run.count * kTargetPageBytes;
  }
  uint64_t bytes = 0;
  for (uint64_t page = run.first; page < run.first + run.count && bytes < max_bytes; ++page) {
    bytes += TERN_TRY(send_page(block, page));
    map.clear(page);
    page_ = page + 1;
  }
  return bytes;
}

Result<void> RamSender::send_dirty(uint64_t max_bytes) noexcept {
  uint64_t bytes = 0;
  size_t empty_blocks = 0;
  while (empty_blocks <= memory_.count() && bytes < max_bytes) {
    if (block_ == memory_.count()) {
      block_ = 0;
      page_ = 0;
      if (memory_.count() == 0) break;
      if (options_.xbzrle != nullptr) options_.xbzrle->turn_on();
    }
    BlockBitmap& map = dirty_.block(block_);
    const PageRun run = map.count() == 0 ? PageRun{} : map.next_run(page_, 512);
    if (run.count == 0) {
      ++block_;
      page_ = 0;
      ++empty_blocks;
      continue;
    }
    empty_blocks = 0;
    bytes += TERN_TRY(send_run(block_, run, max_bytes - bytes));
  }
  // A page that is dirty again may be sent by the next call: what was taken of it must be before
  // it.
  return put_all_packed();
}

}  // namespace tern
