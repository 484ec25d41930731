// SPDX-License-Identifier: Apache-2.0
//
// A Channel whose bytes another one carries, which somebody else can shut down meanwhile: a layer
// (TLS) owns this one, who must be able to end a handshake under way keeps the other.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/channel.h"

namespace tern {

class SharedChannel final : public Channel {
 public:
  explicit SharedChannel(std::shared_ptr<Channel> inner) noexcept : inner_(std::move(inner)) {}

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    return inner_->read_some(into);
  }
  Result<size_t> read_into(std::span<const iovec> pieces) noexcept override {
    return inner_->read_into(pieces);
  }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    return inner_->write_some(slices);
  }
  Result<size_t> write_zero_copy(std::span<const iovec> slices) noexcept override {
    return inner_->write_zero_copy(slices);
  }
  Result<void> enable_zero_copy() noexcept override { return inner_->enable_zero_copy(); }
  Result<ZeroCopyFlush> flush_zero_copy() noexcept override { return inner_->flush_zero_copy(); }
  void set_read_deadline(Deadline d) noexcept override { inner_->set_read_deadline(d); }
  void set_write_deadline(Deadline d) noexcept override { inner_->set_write_deadline(d); }
  void shutdown() noexcept override { inner_->shutdown(); }
  void finish_writing() noexcept override { inner_->finish_writing(); }
  bool peer_closed() noexcept override { return inner_->peer_closed(); }
  bool bidirectional() const noexcept override { return inner_->bidirectional(); }
  std::string describe() const noexcept override { return inner_->describe(); }

 private:
  const std::shared_ptr<Channel> inner_;
};

}  // namespace tern
