// SPDX-License-Identifier: Apache-2.0
#include "migration/source/return_listener.h"

#include "migration/stream/framing.h"

namespace tern {
namespace {
constexpr size_t kBufferBytes = 4096;  // messages are short
constexpr size_t kMaxPongs = 64;       // we send a handful of values
}  // namespace

void ReturnListener::run(Channel& channel) noexcept {
  // Nothing is owed to us while pages are being sent, so this read waits as long as a migration may
  // last: the main thread bounds every answer it waits for, and ends this read by shutting the
  // channel down.
  channel.set_read_deadline({"return path", std::chrono::hours(24 * 20)});
  StreamReader in(channel, kBufferBytes);
  for (;;) {
    auto message = read_return_message(in);
    Result<void> taken = message ? take(*message) : Result<void>(std::move(message).error());
    if (!taken) {
      {
        const MutexLock lock(mutex_);
        said_.error = std::move(taken).error().context("return path");
        changed_.notify_all();
      }
      channel.shutdown();
      return;
    }
    const MutexLock lock(mutex_);
    if (said_.shut) return;
  }
}

Result<void> ReturnListener::take(const ReturnMessage& m) noexcept {
  const auto value = [&] { return load_be<uint32_t>(m.payload.data()); };
  const MutexLock lock(mutex_);
  ++said_.messages;
  changed_.notify_all();
  switch (static_cast<ReturnType>(m.type)) {
    case ReturnType::shut:
      said_.shut = value();
      return {};
    case ReturnType::pong:
      if (said_.pongs.size() < kMaxPongs) said_.pongs.insert(value());
      return {};
    case ReturnType::switchover_ack:
      said_.switchover_ack = true;
      return {};
    case ReturnType::tern_hello:
      said_.hello = TERN_TRY(parse_tern_hello(m));
      return {};
    case ReturnType::tern_loaded:
      said_.loaded = true;
      return {};
    case ReturnType::req_pages_id:
    case ReturnType::req_pages:
    case ReturnType::recv_bitmap:
    case ReturnType::resume_ack:
      return Error(ErrorCode::peer_protocol,
                   "message " + return_type_name(m.type) + " belongs to postcopy, this is precopy");
    default:
      return {};  // optional and unknown: read_return_message let it pass
  }
}

void ReturnListener::poke() noexcept {
  const MutexLock lock(mutex_);
  ++pokes_;
  changed_.notify_all();
}

ReturnListener::Said ReturnListener::said() const noexcept {
  const MutexLock lock(mutex_);
  return said_;
}

Result<void> ReturnListener::wait(Deadline deadline,
                                  const std::function<bool(const Said&)>& done) noexcept {
  const auto until = std::chrono::steady_clock::now() + deadline.after;
  const MutexLock lock(mutex_);
  while (!done(said_)) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) {
      return Error(ErrorCode::timed_out, std::string(deadline.name) +
                                             ": nothing from the destination for " +
                                             std::to_string(deadline.after.count()) + " ms");
    }
    changed_.wait_for(mutex_, left);
  }
  return {};
}

void ReturnListener::sleep(Nanoseconds time) noexcept {
  const auto until = std::chrono::steady_clock::now() + time;
  const MutexLock lock(mutex_);
  const uint64_t messages = said_.messages;
  const uint64_t pokes = pokes_;
  while (said_.messages == messages && pokes_ == pokes && !said_.error) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return;
    changed_.wait_for(mutex_, left);
  }
}

}  // namespace tern
