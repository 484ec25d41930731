// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/tls_channel.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "transport/wait.h"

namespace tern::transport::tls {

TlsChannel::TlsChannel(std::unique_ptr<Channel> inner, std::unique_ptr<Session> session,
                       Admission admission) noexcept
    : inner_(std::move(inner)),
      admission_(std::move(admission)),
      incoming_(kBatchBytes),
      session_(std::move(session)) {}

Result<bool> TlsChannel::handshake(Deadline deadline) noexcept {
  auto done = shake(deadline);
  if (done) return done;
  Error& error = done.error();
  if (error.code() == ErrorCode::cancelled) return std::move(error);
  if (error.code() == ErrorCode::timed_out) {
    return Error(ErrorCode::timed_out, std::string(deadline.name) + ": no TLS handshake with " +
                                           inner_->describe() + " within " +
                                           std::to_string(deadline.after.count()) + " ms");
  }
  return std::move(error).context("TLS handshake failed");
}

Result<bool> TlsChannel::shake(Deadline deadline) noexcept {
  const TimePoint until = time_after(deadline.after);
  bool heard = false;
  for (;;) {
    Result<bool> done = false;
    {
      const MutexLock lock(mutex_);
      done = session_->handshake();
    }
    // Also after a failure: the peer is told why. Its error is less than ours.
    const auto left =
        std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now());
    const Deadline rest{deadline.name, std::max(left, Milliseconds(1))};
    inner_->set_read_deadline(rest);
    inner_->set_write_deadline(rest);
    const auto answered = answer();
    if (!done) {
      answered.ignore("that the peer was not told why is less than why");
      return std::move(done).error();
    }
    if (!answered) return answered.error();
    if (*done) break;
    if (left.count() <= 0) return Error(ErrorCode::timed_out, "the time is over");
    const size_t n = TERN_TRY(inner_->read_some(incoming_));
    if (n == 0 && !heard) return false;
    if (n == 0) {
      return Error(ErrorCode::channel, "the peer closed the connection: its log says why");
    }
    heard = true;
    const MutexLock lock(mutex_);
    session_->feed(std::span(incoming_).first(n));
  }
  TERN_TRY(admit());
  return true;
}

Result<void> TlsChannel::answer() noexcept {
  const MutexLock writing(write_mutex_);
  size_t sent = 0;
  return flush(sent);
}

Result<void> TlsChannel::admit() noexcept {
  return admission_ ? admission_(peer_name()) : Result<void>();
}

std::string TlsChannel::peer_name() const noexcept {
  const MutexLock lock(mutex_);
  return session_->peer_name();
}

Result<size_t> TlsChannel::read_some(std::span<std::byte> into) noexcept {
  if (into.empty()) return Error(ErrorCode::invalid_argument, "read_some into no space");
  if (ended_cleanly_.load()) return size_t{0};
  for (;;) {
    {
      const MutexLock lock(mutex_);
      const Session::Decrypted got =
          TERN_TRY(session_->decrypt(into).context("read from " + inner_->describe()));
      if (got.ended) ended_cleanly_.store(true);
      if (got.bytes > 0 || got.ended) return got.bytes;
    }
    // Everything was taken out of the buffer: nobody looks at it while it is filled again.
    const size_t n = TERN_TRY(inner_->read_some(incoming_));
    if (n == 0) return size_t{0};
    const MutexLock lock(mutex_);
    session_->feed(std::span(incoming_).first(n));
  }
}

Result<void> TlsChannel::flush(size_t& sent) noexcept {
  outgoing_.clear();
  {
    const MutexLock lock(mutex_);
    outgoing_.swap(session_->output());
  }
  while (sent < outgoing_.size()) {
    iovec rest{outgoing_.data() + sent, outgoing_.size() - sent};
    sent += TERN_TRY(inner_->write_some({&rest, 1}));
  }
  return {};
}

Result<size_t> TlsChannel::write_some(std::span<const iovec> slices) noexcept {
  const MutexLock writing(write_mutex_);
  if (write_error_) return *write_error_;
  size_t taken = 0;
  {
    const MutexLock lock(mutex_);
    auto encrypted = session_->encrypt(slices, kBatchBytes);
    if (!encrypted) {
      write_error_ = std::move(encrypted).error().context("write to " + inner_->describe());
      return *write_error_;
    }
    taken = *encrypted;
  }
  if (taken == 0) return Error(ErrorCode::invalid_argument, "write_some of no bytes");
  size_t sent = 0;
  const auto flushed = flush(sent);
  if (flushed) return taken;
  // A record lost is the end of the stream, whatever of it was sent.
  write_error_ = flushed.error();
  if (sent == 0) return *write_error_;
  return taken;
}

void TlsChannel::finish_writing() noexcept {
  const MutexLock writing(write_mutex_);
  if (!write_error_) {
    {
      const MutexLock lock(mutex_);
      session_->say_end();
    }
    size_t sent = 0;
    const auto flushed = flush(sent);
    if (!flushed) write_error_ = flushed.error();
  }
  inner_->finish_writing();
}

}  // namespace tern::transport::tls
