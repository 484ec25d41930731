// SPDX-License-Identifier: Apache-2.0
#include "ram/send/ram_sender.h"

#include <algorithm>
#include <vector>

#include "ram/wire/ram_record.h"

namespace tern {

RamSender::RamSender(const GuestMemory& memory, StreamWriter& out, RamCounters& counters,
                     const PageOps& ops) noexcept
    : memory_(memory),
      out_(out),
      counters_(counters),
      ops_(ops),
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
  return end_body();
}

Result<void> RamSender::end_body() noexcept { return write_eos(out_); }

Result<void> RamSender::send_page(size_t block, uint64_t page, Sent& sent) noexcept {
  const std::byte* data = memory_.page(block, page);
  const std::string_view name =
      last_named_ == block ? std::string_view() : memory_.blocks()[block].idstr;
  last_named_ = block;
  const uint64_t offset = page * kTargetPageBytes;
  if (ops_.is_zero(data, kTargetPageBytes)) {
    TERN_TRY(write_record_head(out_, RecordKind::zero, offset, name));
    TERN_TRY(out_.put_u8(0));
    counters_.duplicate.add(1);
  } else {
    TERN_TRY(write_record_head(out_, RecordKind::page, offset, name));
    // By reference: the page may change until the flush. Then it is dirty again and is sent again.
    TERN_TRY(out_.put_reference(data, kTargetPageBytes));
    counters_.normal.add(1);
    ++sent.normal_pages;
  }
  ++sent.pages;
  return {};
}

Result<RamSender::Sent> RamSender::send_dirty(uint64_t max_bytes) noexcept {
  Sent sent;
  const uint64_t begin = out_.offset();
  size_t empty_blocks = 0;
  while (empty_blocks <= memory_.count()) {
    if (block_ == memory_.count()) {
      block_ = 0;
      page_ = 0;
      sent.wrapped = true;
      if (memory_.count() == 0) break;
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
    for (uint64_t i = 0; i < run.count; ++i) {
      TERN_TRY(send_page(block_, run.first + i, sent));
      map.clear(run.first + i);
      page_ = run.first + i + 1;
      // Zero pages put few bytes in the stream but cost a read each: count them as a cache line of
      // work.
      if (out_.offset() - begin + (sent.pages - sent.normal_pages) * 64 >= max_bytes) return sent;
    }
  }
  return sent;
}

}  // namespace tern
