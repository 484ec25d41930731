// SPDX-License-Identifier: Apache-2.0
//
// A Channel of which the first bytes have been read already, to find out what it is: it gives them
// once more.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/channel.h"

namespace tern {

class ReplayChannel final : public Channel {
 public:
  ReplayChannel(std::vector<std::byte> first, std::unique_ptr<Channel> inner) noexcept
      : first_(std::move(first)), inner_(std::move(inner)) {}

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    const size_t left = first_.size() - given_;
    if (left == 0) return inner_->read_some(into);
    const size_t n = std::min(left, into.size());
    std::memcpy(into.data(), first_.data() + given_, n);
    given_ += n;
    return n;
  }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    return inner_->write_some(slices);
  }
  void set_read_deadline(Deadline d) noexcept override { inner_->set_read_deadline(d); }
  void set_write_deadline(Deadline d) noexcept override { inner_->set_write_deadline(d); }
  void shutdown() noexcept override { inner_->shutdown(); }
  void finish_writing() noexcept override { inner_->finish_writing(); }
  bool peer_closed() noexcept override { return inner_->peer_closed(); }
  bool bidirectional() const noexcept override { return inner_->bidirectional(); }
  std::string describe() const noexcept override { return inner_->describe(); }

 private:
  const std::vector<std::byte> first_;
  size_t given_ = 0;  // the reading thread's
  const std::unique_ptr<Channel> inner_;
};

}  // namespace tern
