// SPDX-License-Identifier: Apache-2.0
#include "base/stream_io.h"

#include <algorithm>
#include <cstring>

#include "base/slices.h"

namespace tern {

StreamReader::StreamReader(Channel& channel, size_t buffer_bytes, uint64_t first_offset) noexcept
    : channel_(channel), buffer_(buffer_bytes), consumed_(first_offset), field_at_(first_offset) {}

Result<void> StreamReader::fill(size_t need, std::string_view what) noexcept {
  if (need > buffer_.size()) {
    return Error(ErrorCode::internal, "read larger than the stream buffer");
  }
  if (buffer_.size() - begin_ < need) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < need) {
    const size_t got = TERN_TRY(channel_.read_some(std::span(buffer_).subspan(end_)).context(what));
    if (got == 0) {
      return Error(ErrorCode::channel, "end of stream at offset " +
                                           std::to_string(consumed_ + (end_ - begin_)) +
                                           " while reading " + std::string(what));
    }
    end_ += got;
  }
  return {};
}

Result<std::span<const std::byte>> StreamReader::take(size_t n, std::string_view what) noexcept {
  field_at_ = consumed_;
  if (end_ - begin_ < n) TERN_TRY(fill(n, what));
  const std::span<const std::byte> bytes(buffer_.data() + begin_, n);
  begin_ += n;
  consumed_ += n;
  if (begin_ == end_) begin_ = end_ = 0;
  return bytes;
}

Result<void> StreamReader::read(std::span<std::byte> into, std::string_view what) noexcept {
  const uint64_t begin = consumed_;
  while (!into.empty()) {
    const size_t n = std::min(into.size(), buffer_.size());
    const auto bytes = TERN_TRY(take(n, what));
    std::memcpy(into.data(), bytes.data(), n);
    into = into.subspan(n);
  }
  field_at_ = begin;
  return {};
}

Result<uint8_t> StreamReader::u8(std::string_view what) noexcept {
  return std::to_integer<uint8_t>(TERN_TRY(take(1, what))[0]);
}
Result<uint16_t> StreamReader::be16(std::string_view what) noexcept {
  return load_be<uint16_t>(TERN_TRY(take(2, what)).data());
}
Result<uint32_t> StreamReader::be32(std::string_view what) noexcept {
  return load_be<uint32_t>(TERN_TRY(take(4, what)).data());
}
Result<uint64_t> StreamReader::be64(std::string_view what) noexcept {
  return load_be<uint64_t>(TERN_TRY(take(8, what)).data());
}

Result<std::string> StreamReader::counted_string(std::string_view what) noexcept {
  const uint8_t n = TERN_TRY(u8(what));
  if (n == 0) return malformed(std::string(what) + " is empty");
  const uint64_t begin = field_at_;
  const auto bytes = TERN_TRY(take(n, what));
  field_at_ = begin;
  return std::string(reinterpret_cast<const char*>(bytes.data()), n);
}

Result<uint8_t> StreamReader::peek_u8(std::string_view what) noexcept {
  field_at_ = consumed_;
  if (begin_ == end_) TERN_TRY(fill(1, what));
  return std::to_integer<uint8_t>(buffer_[begin_]);
}

Result<std::span<const std::byte>> StreamReader::peek(size_t n) noexcept {
  field_at_ = consumed_;
  n = std::min(n, buffer_.size());
  if (buffer_.size() - begin_ < n) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < n) {
    const size_t got = TERN_TRY(channel_.read_some(std::span(buffer_).subspan(end_)));
    if (got == 0) break;
    end_ += got;
  }
  return std::span<const std::byte>(buffer_).subspan(begin_, std::min(n, end_ - begin_));
}

Result<std::span<const std::byte>> StreamReader::take_available(size_t max) noexcept {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    end_ = TERN_TRY(channel_.read_some(buffer_));
  }
  const size_t n = std::min(max, end_ - begin_);
  return take(n, "buffered bytes");
}

Result<bool> StreamReader::at_end() noexcept {
  if (begin_ != end_) return false;
  begin_ = 0;
  end_ = TERN_TRY(channel_.read_some(buffer_));
  return end_ == 0;
}

Error StreamReader::malformed(std::string_view why) const noexcept {
  return Error(ErrorCode::peer_protocol,
               "at offset " + std::to_string(field_at_) + ": " + std::string(why));
}

StreamWriter::StreamWriter(Channel& channel) noexcept
    : channel_(channel), arena_(new std::byte[kArenaBytes]) {
  slices_.reserve(kMaxSlices);
}

Result<void> StreamWriter::put(std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    if (arena_used_ == kArenaBytes || slices_.size() == kMaxSlices) TERN_TRY(flush());
    const size_t n = std::min(bytes.size(), kArenaBytes - arena_used_);
    std::byte* at = arena_.get() + arena_used_;
    std::memcpy(at, bytes.data(), n);
    arena_used_ += n;
    pending_ += n;
    // Headers of zero pages follow each other: one slice for all of them.
    if (!slices_.empty() &&
        static_cast<std::byte*>(slices_.back().iov_base) + slices_.back().iov_len == at) {
      slices_.back().iov_len += n;
    } else {
      slices_.push_back({at, n});
    }
    bytes = bytes.subspan(n);
  }
  return {};
}

Result<void> StreamWriter::put_u8(uint8_t v) noexcept {
  const std::byte b{v};
  return put({&b, 1});
}
Result<void> StreamWriter::put_be16(uint16_t v) noexcept {
  std::byte b[2];
  store_be(b, v);
  return put(b);
}
Result<void> StreamWriter::put_be32(uint32_t v) noexcept {
  std::byte b[4];
  store_be(b, v);
  return put(b);
}
Result<void> StreamWriter::put_be64(uint64_t v) noexcept {
  std::byte b[8];
  store_be(b, v);
  return put(b);
}

Result<void> StreamWriter::put_counted_string(std::string_view text) noexcept {
  if (text.empty() || text.size() > 255) {
    return Error(ErrorCode::invalid_argument, "names on the wire have 1 to 255 bytes");
  }
  TERN_TRY(put_u8(static_cast<uint8_t>(text.size())));
  return put(std::as_bytes(std::span(text)));
}

Result<void> StreamWriter::put_reference(const std::byte* data, size_t size) noexcept {
  if (slices_.size() == kMaxSlices) TERN_TRY(flush());
  // writev does not write through it; iovec has no const form.
  slices_.push_back({const_cast<std::byte*>(data), size});
  pending_ += size;
  return {};
}

Result<void> StreamWriter::flush() noexcept {
  std::span<iovec> left(slices_);
  while (!left.empty()) {
    const size_t taken = TERN_TRY(channel_.write_some(left));
    accepted_ += taken;
    pending_ -= taken;
    advance(left, taken);
  }
  slices_.clear();
  arena_used_ = 0;
  return {};
}

}  // namespace tern
