// SPDX-License-Identifier: Apache-2.0
//
// TLS over any channel. Large writes become many records and one write of the channel below; reads
// the other way round. OpenSSL's object is one for both directions and bears one thread at a time:
// the channel below is read and written outside the lock, records are made and opened under it, so
// that a reader that waits never delays a writer.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/channel.h"
#include "base/mutex.h"
#include "transport/tls/session.h"

namespace tern::transport::tls {

class TlsChannel final : public Channel {
 public:
  /// Plain bytes of one write, encrypted bytes of one read: large enough that system calls do not
  /// count, small enough for the second-level cache.
  static constexpr size_t kBatchBytes = 256u << 10;

  /// Says no to a peer, given its certificate's subject ("" without one).
  using Admission = std::function<Result<void>(const std::string& peer_name)>;

  TlsChannel(std::unique_ptr<Channel> inner, std::unique_ptr<Session> session,
             Admission admission) noexcept;

  /// Before anything else, on one thread; shutdown() ends it. Afterwards both deadlines of the
  /// channel below are this one's: set them. false: the peer closed before it said anything.
  /// Errors: timed_out naming the deadline, channel, peer_protocol, cancelled; "TLS handshake
  /// failed: why".
  Result<bool> handshake(Deadline deadline) noexcept;

  /// After read_some() returned 0: whether the peer said that nothing more comes (close_notify), or
  /// the connection just ended and may have been cut. Any thread.
  bool ended_cleanly() const noexcept { return ended_cleanly_.load(); }

  /// The subject of the peer's certificate; "" without one. After the handshake.
  std::string peer_name() const noexcept TERN_EXCLUDES(mutex_);

  Result<size_t> read_some(std::span<std::byte> into) noexcept override;
  /// The error of a write below that had begun is told by the next call.
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override;
  void set_read_deadline(Deadline deadline) noexcept override {
    inner_->set_read_deadline(deadline);
  }
  void set_write_deadline(Deadline deadline) noexcept override {
    inner_->set_write_deadline(deadline);
  }
  void shutdown() noexcept override { inner_->shutdown(); }
  /// Sends close_notify before it ends the direction below.
  void finish_writing() noexcept override;
  bool peer_closed() noexcept override { return inner_->peer_closed(); }
  bool bidirectional() const noexcept override { return inner_->bidirectional(); }
  uint64_t queued() const noexcept override { return inner_->queued(); }
  std::string describe() const noexcept override { return inner_->describe() + " with TLS"; }

 private:
  Result<bool> shake(Deadline deadline) noexcept;
  Result<void> admit() noexcept;
  /// What the session has to say goes out. `sent` counts. Errors: the channel's.
  Result<void> flush(size_t& sent) noexcept TERN_REQUIRES(write_mutex_);
  Result<void> answer() noexcept;

  const std::unique_ptr<Channel> inner_;
  const Admission admission_;
  std::atomic<bool> ended_cleanly_{false};

  // The reader's.
  std::vector<std::byte> incoming_;

  // Always before mutex_: what is encrypted first leaves first.
  Mutex write_mutex_;
  std::vector<std::byte> outgoing_ TERN_GUARDED_BY(write_mutex_);
  std::optional<Error> write_error_ TERN_GUARDED_BY(write_mutex_);

  mutable Mutex mutex_;
  const std::unique_ptr<Session> session_;  // what it points to is guarded by mutex_
};

}  // namespace tern::transport::tls
