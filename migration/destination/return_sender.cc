// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/return_sender.h"

#include "migration/stream/framing.h"
#include "tern/version.h"

namespace tern {

void ReturnSender::open() noexcept {
  const MutexLock lock(mutex_);
  open_ = true;
}

bool ReturnSender::is_open() const noexcept {
  const MutexLock lock(mutex_);
  return open_;
}

Result<void> ReturnSender::pong(uint32_t value) noexcept {
  const MutexLock lock(mutex_);
  TERN_TRY(write_return_be32(out_, ReturnType::pong, value));
  return out_.flush();
}

Result<void> ReturnSender::hello() noexcept {
  const MutexLock lock(mutex_);
  TERN_TRY(write_tern_hello(out_, {1, kTernProtocol, kTernFeatures, TERN_VERSION_STRING}));
  return out_.flush();
}

Result<void> ReturnSender::switchover_ack() noexcept {
  const MutexLock lock(mutex_);
  TERN_TRY(write_return_empty(out_, ReturnType::switchover_ack));
  return out_.flush();
}

Result<void> ReturnSender::loaded() noexcept {
  const MutexLock lock(mutex_);
  TERN_TRY(write_return_empty(out_, ReturnType::tern_loaded));
  return out_.flush();
}

Result<void> ReturnSender::shut(uint32_t value) noexcept {
  const MutexLock lock(mutex_);
  TERN_TRY(write_return_be32(out_, ReturnType::shut, value));
  open_ = false;
  return out_.flush();
}

}  // namespace tern
