// SPDX-License-Identifier: Apache-2.0
//
// FaultChannel: a channel over a channel that cuts the connection at a chosen write: before it,
// after it, or with the bytes of it lost; and may take only small pieces per write. FaultConnector
// and FaultListener put it around the real ones.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "base/channel_layer.h"

namespace tern::test {

enum class Cut {
  before,  // the write fails, nothing of it left
  after,   // the write arrives, then the link dies
  lost,    // the write is accepted but never arrives: the link died with the bytes in some queue
};

struct FaultPlan {
  uint64_t cut_at_write = 0;  // 1 is the first; 0 never
  /// Not empty: cut at the first write that begins with these bytes instead: one named message.
  std::vector<uint8_t> cut_at_message;
  Cut cut = Cut::after;
  size_t max_write_bytes = SIZE_MAX;
  /// Cut this connection only, in the order in which they are made: 0 is the main one.
  size_t only_channel = SIZE_MAX;
  std::atomic<uint64_t>* writes = nullptr;  // counts
};

class FaultChannel final : public ChannelLayer {
 public:
  FaultChannel(std::unique_ptr<Channel> inner, FaultPlan plan)
      : ChannelLayer(std::move(inner)), plan_(plan) {}

  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    const uint64_t n = ++count_;
    if (plan_.writes != nullptr) ++*plan_.writes;
    const bool was_cut = cut_;
    if (n == plan_.cut_at_write || begins_with_message(slices)) cut_ = true;
    if (was_cut || (cut_ && plan_.cut == Cut::before)) {
      inner().shutdown();
      return Error(ErrorCode::channel, "cut before write " + std::to_string(n));
    }
    std::vector<iovec> part;
    size_t left = plan_.max_write_bytes;
    for (const iovec& s : slices) {
      if (left == 0) break;
      part.push_back({s.iov_base, std::min(left, s.iov_len)});
      left -= part.back().iov_len;
    }
    if (cut_ && plan_.cut == Cut::lost) {
      inner().shutdown();
      size_t total = 0;
      for (const iovec& s : part) total += s.iov_len;
      return total;
    }
    auto written = inner().write_some(part);
    if (cut_) inner().shutdown();
    return written;
  }

 private:
  bool begins_with_message(std::span<const iovec> slices) const {
    const auto& m = plan_.cut_at_message;
    if (m.empty() || slices.empty() || slices[0].iov_len < m.size()) return false;
    return std::memcmp(slices[0].iov_base, m.data(), m.size()) == 0;
  }

  const FaultPlan plan_;
  uint64_t count_ = 0;
  bool cut_ = false;
};

class FaultConnector final : public Connector {
 public:
  FaultConnector(std::unique_ptr<Connector> inner, FaultPlan plan)
      : inner_(std::move(inner)), plan_(plan) {}
  Result<std::unique_ptr<Channel>> connect(Deadline deadline) noexcept override {
    auto channel = TERN_TRY(inner_->connect(deadline));
    FaultPlan plan = plan_;
    const size_t index = made_++;
    if (plan.only_channel != SIZE_MAX && plan.only_channel != index) {
      plan.cut_at_write = 0;
      plan.writes = nullptr;
    }
    return std::unique_ptr<Channel>(new FaultChannel(std::move(channel), plan));
  }
  void abort() noexcept override { inner_->abort(); }
  std::string describe() const noexcept override { return inner_->describe(); }
  bool connects_many() const noexcept override { return inner_->connects_many(); }

 private:
  std::unique_ptr<Connector> inner_;
  const FaultPlan plan_;
  size_t made_ = 0;
};

class FaultListener final : public Listener {
 public:
  FaultListener(std::unique_ptr<Listener> inner, FaultPlan plan)
      : inner_(std::move(inner)), plan_(plan) {}
  Result<std::unique_ptr<Channel>> accept() noexcept override {
    auto channel = TERN_TRY(inner_->accept());
    return std::unique_ptr<Channel>(new FaultChannel(std::move(channel), plan_));
  }
  Result<std::unique_ptr<Channel>> accept_within(Milliseconds time) noexcept override {
    return inner_->accept_within(time);
  }
  void abort() noexcept override { inner_->abort(); }
  bool accepts_many() const noexcept override { return inner_->accepts_many(); }

 private:
  std::unique_ptr<Listener> inner_;
  const FaultPlan plan_;
};

}  // namespace tern::test
