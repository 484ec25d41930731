// SPDX-License-Identifier: Apache-2.0
//
// Channels that only read: a descriptor (file, pipe, standard input) and bytes in memory. Nothing
// is ever written, and nothing is waited for longer than read(2) waits.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/channel.h"

namespace tern::tool {

class InputChannel : public Channel {
 public:
  Result<size_t> write_some(std::span<const iovec>) noexcept final {
    return Error(ErrorCode::unsupported, "only for reading");
  }
  void set_read_deadline(Deadline) noexcept final {}
  void set_write_deadline(Deadline) noexcept final {}
  void shutdown() noexcept final {}
  void finish_writing() noexcept final {}
  bool peer_closed() noexcept final { return false; }
  bool bidirectional() const noexcept final { return false; }
};

class MemoryInput final : public InputChannel {
 public:
  /// The bytes must outlive it.
  explicit MemoryInput(std::span<const std::byte> bytes) noexcept : left_(bytes) {}
  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    const size_t n = std::min(into.size(), left_.size());
    if (n > 0) std::memcpy(into.data(), left_.data(), n);
    left_ = left_.subspan(n);
    return n;
  }
  std::string describe() const noexcept override { return "memory"; }

 private:
  std::span<const std::byte> left_;
};

class FileInput final : public InputChannel {
 public:
  /// Does not own `fd`.
  FileInput(int fd, std::string name) noexcept : fd_(fd), name_(std::move(name)) {}
  Result<size_t> read_some(std::span<std::byte> into) noexcept override;
  /// Reads over the next `bytes`. Errors: channel when there are fewer.
  Result<void> skip(uint64_t bytes) noexcept;
  std::string describe() const noexcept override { return name_; }

 private:
  int fd_;
  std::string name_;
};

}  // namespace tern::tool
