// SPDX-License-Identifier: Apache-2.0
//
// MemoryChannel: the end of a connection that a test holds in its hands. What the peer sends is a
// vector, what is written is another; both go in pieces as small as the test wants. Nothing blocks:
// where the bytes run out, the peer has closed.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/channel.h"

namespace tern::test {

inline std::vector<std::byte> bytes_of(std::initializer_list<unsigned> values) {
  std::vector<std::byte> bytes;
  for (const unsigned v : values) bytes.push_back(static_cast<std::byte>(v));
  return bytes;
}
inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span<const char>(text.data(), text.size()));
  return {view.begin(), view.end()};
}

class MemoryChannel final : public Channel {
 public:
  MemoryChannel() = default;
  explicit MemoryChannel(std::vector<std::byte> bytes) : incoming(std::move(bytes)) {}

  // What the test sets.
  std::vector<std::byte> incoming;
  size_t read_piece = SIZE_MAX;
  size_t write_piece = SIZE_MAX;
  std::optional<Error> read_error;   // instead of the end of `incoming`
  std::optional<Error> write_error;  // once `write_error_after` bytes were taken
  size_t write_error_after = 0;
  // What the test looks at.
  std::vector<std::byte> written;
  size_t writes = 0;
  size_t most_slices = 0;

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    const size_t n = std::min({into.size(), incoming.size() - at_, read_piece});
    if (n == 0 && read_error) return *read_error;
    if (n > 0) std::memcpy(into.data(), incoming.data() + at_, n);
    at_ += n;
    return n;
  }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    if (write_error && written.size() >= write_error_after) return *write_error;
    ++writes;
    most_slices = std::max(most_slices, slices.size());
    size_t left = write_piece;
    for (const iovec& s : slices) {
      const size_t n = std::min(left, s.iov_len);
      const auto* p = static_cast<const std::byte*>(s.iov_base);
      written.insert(written.end(), p, p + n);
      left -= n;
    }
    return write_piece - left;
  }
  void set_read_deadline(Deadline) noexcept override {}
  void set_write_deadline(Deadline) noexcept override {}
  void shutdown() noexcept override {}
  void finish_writing() noexcept override {}
  bool peer_closed() noexcept override { return at_ == incoming.size(); }
  bool bidirectional() const noexcept override { return true; }
  std::string describe() const noexcept override { return "memory"; }

 private:
  size_t at_ = 0;
};

}  // namespace tern::test
