// SPDX-License-Identifier: Apache-2.0
//
// ReturnSender: what a destination says to the source. Messages of several threads (the loader, an
// embedder that releases the switchover) leave whole and one after another.
#pragma once

#include "base/channel.h"
#include "base/mutex.h"
#include "base/stream_io.h"
#include "migration/stream/return_path.h"
#include "tern/result.h"

namespace tern {

/// Thread rules: any thread.
class ReturnSender {
 public:
  explicit ReturnSender(Channel& channel) noexcept : out_(channel) {}

  /// The source asked for it; before that nothing may be sent.
  void open() noexcept TERN_EXCLUDES(mutex_);
  bool is_open() const noexcept TERN_EXCLUDES(mutex_);

  Result<void> pong(uint32_t value) noexcept;
  Result<void> hello() noexcept;
  Result<void> switchover_ack() noexcept;
  Result<void> loaded() noexcept;
  /// The last message. 0 = success.
  Result<void> shut(uint32_t value) noexcept;

 private:
  mutable Mutex mutex_;
  StreamWriter out_ TERN_GUARDED_BY(mutex_);
  bool open_ TERN_GUARDED_BY(mutex_) = false;
};

}  // namespace tern
