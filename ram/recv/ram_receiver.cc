// SPDX-License-Identifier: Apache-2.0
#include "ram/recv/ram_receiver.h"

#include <string>

#include "ram/codec/xbzrle.h"

namespace tern {

Result<void> RamReceiver::receive_block_list(StreamReader& in, uint64_t total) noexcept {
  if (has_list_) return in.malformed("a second list of RAM blocks");
  if (total > memory_.total_bytes()) {
    return in.malformed("the source has " + std::to_string(total) + " bytes of RAM, this machine " +
                        std::to_string(memory_.total_bytes()));
  }
  uint64_t left = total;
  while (left > 0) {
    const std::string name = TERN_TRY(in.counted_string("RAM block name"));
    const uint64_t length = TERN_TRY(in.be64("RAM block length"));
    const auto block = memory_.find(name);
    if (!block) return in.malformed("unknown RAM block '" + name + "'");
    if (target_.is_listed(*block)) return in.malformed("RAM block '" + name + "' is listed twice");
    if (length > left || length == 0) {
      return in.malformed("RAM block '" + name + "' of " + std::to_string(length) + " bytes, " +
                          std::to_string(left) + " are left of the total");
    }
    if (length != memory_.blocks()[*block].used_bytes) {
      return in.malformed("RAM block '" + name + "' has " + std::to_string(length) +
                          " bytes at the source, " +
                          std::to_string(memory_.blocks()[*block].used_bytes) + " here");
    }
    target_.list(*block);
    left -= length;
  }
  has_list_ = true;
  listed_bytes_ = total;
  return {};
}

Result<size_t> RamReceiver::receive_block_name(StreamReader& in, bool cont) noexcept {
  if (cont) {
    if (!current_) return in.malformed("CONTINUE before any block was named");
    return *current_;
  }
  const auto n = TERN_TRY(in.u8("RAM block name"));
  if (n == 0) return in.malformed("RAM block name is empty");
  const auto bytes = TERN_TRY(in.take(n, "RAM block name"));
  const std::string_view name(reinterpret_cast<const char*>(bytes.data()), n);
  const auto block = memory_.find(name);
  if (!block) return in.malformed("page for unknown RAM block '" + std::string(name) + "'");
  if (!target_.is_listed(*block)) {
    return in.malformed("page for RAM block '" + std::string(name) + "', which was not listed");
  }
  current_ = block;
  return *block;
}

Result<std::byte*> RamReceiver::place(StreamReader& in, const RecordWord& record) noexcept {
  const size_t block = TERN_TRY(receive_block_name(in, record.cont));
  if (record.offset >= memory_.blocks()[block].used_bytes) {
    return in.malformed("page at " + std::to_string(record.offset) + " is outside RAM block '" +
                        memory_.blocks()[block].idstr + "'");
  }
  page_ = record.offset / kTargetPageBytes;
  return memory_.page(block, page_);
}

Result<void> RamReceiver::flush(StreamReader& in) noexcept {
  if (points_ == nullptr) {
    return in.malformed(
        "MULTIFD_FLUSH, but multifd is off here: the capability must be equal on both sides");
  }
  flushed_ = true;
  return points_->pass();
}

// Compressed pages are unpacked on other threads; the last record of a page wins.
Result<std::byte*> RamReceiver::place_settled(StreamReader& in, const RecordWord& record) noexcept {
  std::byte* const to = TERN_TRY(place(in, record));
  if (unpacker_ != nullptr) TERN_TRY(unpacker_->settle(to));
  return to;
}

Result<void> RamReceiver::receive_page(StreamReader& in, const RecordWord& record) noexcept {
  std::byte* const to = TERN_TRY(place_settled(in, record));
  TERN_TRY(in.read({to, kTargetPageBytes}, "page"));
  target_.mark(*current_, {page_, 1});
  counters_.normal.add(1);
  return {};
}

Result<void> RamReceiver::receive_zero(StreamReader& in, const RecordWord& record) noexcept {
  TERN_TRY(place_settled(in, record));
  const uint8_t fill = TERN_TRY(in.u8("zero page"));
  if (fill != 0) return in.malformed("zero page with fill byte " + std::to_string(fill));
  target_.zero_page(*current_, page_);
  counters_.duplicate.add(1);
  return {};
}

// No capability says that they come. A page that never came holds zeros or what this machine had
// before, as with QEMU; patched it is what the source says that it is.
Result<void> RamReceiver::receive_xbzrle(StreamReader& in, const RecordWord& record) noexcept {
  std::byte* const to = TERN_TRY(place_settled(in, record));
  const auto payload = TERN_TRY(read_xbzrle(in));
  const auto patched = decode_xbzrle(payload, {to, kTargetPageBytes});
  if (!patched) return in.malformed(patched.error().message());
  target_.mark(*current_, {page_, 1});
  counters_.patched.add(1);
  return {};
}

Result<void> RamReceiver::receive_compressed(StreamReader& in, const RecordWord& record) noexcept {
  if (unpacker_ == nullptr) {
    return in.malformed(
        "compressed page, but compress is off here: the capability must be equal on both sides");
  }
  std::byte* const to = TERN_TRY(place_settled(in, record));
  const auto payload = TERN_TRY(read_compressed(in));
  target_.mark(*current_, {page_, 1});
  counters_.compressed.add(1);
  return unpacker_->take(to, payload, in.field_offset());
}

Result<void> RamReceiver::end_of_section(bool start) noexcept {
  if (unpacker_ != nullptr) TERN_TRY(unpacker_->finish());
  if (points_ == nullptr) return {};
  if (start) per_section_ = !flushed_;
  return per_section_ ? points_->pass() : Result<void>();
}

Result<void> RamReceiver::receive_body(StreamReader& in, bool start) noexcept {
  for (;;) {
    const RecordWord record = TERN_TRY(read_record_word(in));
    switch (record.kind) {
      case RecordKind::eos:
        return end_of_section(start);
      case RecordKind::mem_size:
        if (!start) return in.malformed("list of RAM blocks outside the START section");
        TERN_TRY(receive_block_list(in, record.offset));
        break;
      case RecordKind::page:
        TERN_TRY(receive_page(in, record));
        break;
      case RecordKind::zero:
        TERN_TRY(receive_zero(in, record));
        break;
      case RecordKind::xbzrle:
        TERN_TRY(receive_xbzrle(in, record));
        break;
      case RecordKind::compress_page:
        TERN_TRY(receive_compressed(in, record));
        break;
      case RecordKind::multifd_flush:
        TERN_TRY(flush(in));
        break;
      case RecordKind::hook:
        return in.malformed("RAM record '" + std::string(to_string(record.kind)) +
                            "' is of a capability that is off here");
    }
  }
}

Result<void> RamReceiver::zero_run(StreamReader& in, uint16_t length) noexcept {
  if (!has_list_) return in.malformed("tern-zero-run before the list of RAM blocks");
  const std::string name = TERN_TRY(in.counted_string("RAM block name"));
  const auto block = memory_.find(name);
  if (!block || !target_.is_listed(*block))
    return in.malformed("tern-zero-run for unknown RAM block '" + name + "'");
  const size_t head = 1 + name.size();
  if (length <= head || (length - head) % 16 != 0) {
    return in.malformed("tern-zero-run of " + std::to_string(length) + " bytes");
  }
  const uint64_t block_bytes = memory_.blocks()[*block].used_bytes;
  for (size_t i = 0; i < (length - head) / 16; ++i) {
    const uint64_t start = TERN_TRY(in.be64("zero run"));
    const uint64_t bytes = TERN_TRY(in.be64("zero run"));
    if (start % kTargetPageBytes != 0 || bytes % kTargetPageBytes != 0 || bytes == 0 ||
        start >= block_bytes || bytes > block_bytes - start) {
      return in.malformed("zero run [" + std::to_string(start) + ", +" + std::to_string(bytes) +
                          ") is not inside RAM block '" + name + "'");
    }
    target_.zero_run(*block, {start / kTargetPageBytes, bytes / kTargetPageBytes});
    counters_.duplicate.add(bytes / kTargetPageBytes);
  }
  return {};
}

}  // namespace tern
