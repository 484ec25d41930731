// SPDX-License-Identifier: Apache-2.0
//
// A Channel over another one that passes everything on; a layer changes what it is for.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/channel.h"

namespace tern {

class ChannelLayer : public Channel {
 public:
  explicit ChannelLayer(std::unique_ptr<Channel> inner) noexcept : inner_(std::move(inner)) {}

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    return inner_->read_some(into);
  }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    return inner_->write_some(slices);
  }
  uint64_t queued() const noexcept override { return inner_->queued(); }
  void set_read_deadline(Deadline d) noexcept override { inner_->set_read_deadline(d); }
  void set_write_deadline(Deadline d) noexcept override { inner_->set_write_deadline(d); }
  void shutdown() noexcept override { inner_->shutdown(); }
  void finish_writing() noexcept override { inner_->finish_writing(); }
  bool peer_closed() noexcept override { return inner_->peer_closed(); }
  bool bidirectional() const noexcept override { return inner_->bidirectional(); }
  std::string describe() const noexcept override { return inner_->describe(); }

 protected:
  Channel& inner() const noexcept { return *inner_; }

 private:
  const std::unique_ptr<Channel> inner_;
};

}  // namespace tern
