// SPDX-License-Identifier: Apache-2.0
//
// A Channel of which the first bytes have been read already, to find out what it is: it gives them
// once more.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/channel_layer.h"

namespace tern {

class ReplayChannel final : public ChannelLayer {
 public:
  ReplayChannel(std::vector<std::byte> first, std::unique_ptr<Channel> inner) noexcept
      : ChannelLayer(std::move(inner)), first_(std::move(first)) {}

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    const size_t left = first_.size() - given_;
    if (left == 0) return inner().read_some(into);
    const size_t n = std::min(left, into.size());
    std::memcpy(into.data(), first_.data() + given_, n);
    given_ += n;
    return n;
  }

 private:
  const std::vector<std::byte> first_;
  size_t given_ = 0;  // the reading thread's
};

}  // namespace tern
