// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says of writes with MSG_ZEROCOPY: each gets a number, counted from 0 per socket,
// and is told finished, in ranges, on the socket's error queue. Keeps count; waits for nothing.
#pragma once

#include <cstdint>

#include "base/channel.h"

namespace tern::transport {

/// One thread.
class ZeroCopyLedger {
 public:
  void note_sent() noexcept { ++sent_; }
  /// Writes that are not told finished.
  uint64_t pending() const noexcept { return sent_ - finished_; }
  /// Takes what is on the error queue of `fd`; does not block.
  void reap(int fd) noexcept;
  /// What finished since the last call.
  Channel::ZeroCopyFlush take_report() noexcept;

 private:
  uint64_t sent_ = 0;
  uint64_t finished_ = 0;
  Channel::ZeroCopyFlush report_;
};

}  // namespace tern::transport
