// SPDX-License-Identifier: Apache-2.0
//
// Buffered reading and writing of a Channel, with the offset in the stream that error messages
// name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/channel.h"
#include "base/wire_int.h"
#include "tern/result.h"

namespace tern {

/// Reads a channel through one buffer. A read past the end of the stream is an error that names
/// what was being read and where. One thread.
class StreamReader {
 public:
  static constexpr size_t kBufferBytes = 1u << 20;

  /// `first_offset`: where the channel's first byte stands in the stream, for messages.
  explicit StreamReader(Channel& channel, size_t buffer_bytes = kBufferBytes,
                        uint64_t first_offset = 0) noexcept;

  /// The next `n` bytes (n <= buffer size), without a copy; valid until the next call.
  Result<std::span<const std::byte>> take(size_t n, std::string_view what) noexcept;
  /// Copies exactly into.size() bytes.
  Result<void> read(std::span<std::byte> into, std::string_view what) noexcept;
  Result<uint8_t> u8(std::string_view what) noexcept;
  Result<uint16_t> be16(std::string_view what) noexcept;
  Result<uint32_t> be32(std::string_view what) noexcept;
  Result<uint64_t> be64(std::string_view what) noexcept;
  /// u8 n + n bytes; n == 0 is an error, as every name in the stream has at least one byte.
  Result<std::string> counted_string(std::string_view what) noexcept;
  /// Looks at the next byte without taking it.
  Result<uint8_t> peek_u8(std::string_view what) noexcept;
  /// Up to `n` of the next bytes without taking them, fewer only at the end of the stream.
  Result<std::span<const std::byte>> peek(size_t n) noexcept;
  /// Whatever is buffered, or one read; empty at the end of the stream.
  Result<std::span<const std::byte>> take_available(size_t max) noexcept;
  /// true if the stream ended exactly here (blocks until it is known).
  Result<bool> at_end() noexcept;

  /// Offset in the stream of the next byte to be taken.
  uint64_t offset() const noexcept { return consumed_; }
  /// Where the field begins that was taken or looked at last.
  uint64_t field_offset() const noexcept { return field_at_; }
  /// Offset after the last byte that came.
  uint64_t received() const noexcept { return consumed_ + (end_ - begin_); }
  /// peer_protocol: "at offset N: why"; N is field_offset().
  Error malformed(std::string_view why) const noexcept;

 private:
  Result<void> fill(size_t need, std::string_view what) noexcept;

  Channel& channel_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t consumed_;
  uint64_t field_at_;
};

/// Gathers headers (copied) and pages (by reference) and writes them with few system calls. Guest
/// memory given by reference may change until flush(); the bytes that leave are those at the time
/// of the system call. One thread.
class StreamWriter {
 public:
  static constexpr size_t kMaxSlices = 1024;  // IOV_MAX
  static constexpr size_t kArenaBytes = 256u << 10;

  explicit StreamWriter(Channel& channel) noexcept;

  Result<void> put(std::span<const std::byte> bytes) noexcept;
  Result<void> put_u8(uint8_t v) noexcept;
  Result<void> put_be16(uint16_t v) noexcept;
  Result<void> put_be32(uint32_t v) noexcept;
  Result<void> put_be64(uint64_t v) noexcept;
  Result<void> put_counted_string(std::string_view text) noexcept;
  /// Must stay mapped until the next flush.
  Result<void> put_reference(const std::byte* data, size_t size) noexcept;
  Result<void> flush() noexcept;

  /// Bytes put so far, flushed or not.
  uint64_t offset() const noexcept { return accepted_ + pending_; }
  /// Bytes the channel took.
  uint64_t accepted() const noexcept { return accepted_; }

 private:
  Channel& channel_;
  std::unique_ptr<std::byte[]> arena_;
  size_t arena_used_ = 0;
  std::vector<iovec> slices_;
  uint64_t accepted_ = 0;
  uint64_t pending_ = 0;
};

}  // namespace tern
