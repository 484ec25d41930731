// SPDX-License-Identifier: Apache-2.0
//
// A Channel over one connected stream socket (TCP, unix, vsock, or whatever fd: brought). Owns the
// socket; knows neither how it was connected nor what flows through it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/channel.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "transport/wait.h"
#include "transport/zero_copy.h"

namespace tern::transport {

struct SocketOptions {
  /// First value of both deadlines, and what the kernel's own detection of a dead TCP peer is
  /// derived from.
  uint32_t stall_timeout_ms = 60000;
  /// false: no TCP keepalive probes on an idle connection (tcp:…,keep-alive=off).
  bool keep_alive = true;
};

/// How TCP is told to notice a peer that vanished without a word, in the kernel's units.
struct KeepaliveTimes {
  int idle_s;
  int interval_s;
  int count;
  unsigned user_timeout_ms;
  bool operator==(const KeepaliveTimes&) const = default;
};
/// Idle for half of the stall timeout, then probes that end with it; within what the kernel
/// accepts.
KeepaliveTimes keepalive_times(uint32_t stall_timeout_ms) noexcept;

class SocketChannel final : public Channel {
 public:
  /// Takes a connected stream socket. Blocking and non-blocking ones both do: the flag of a
  /// descriptor that was handed to us may be shared with another process, so it is not touched.
  /// Errors: resource_exhausted.
  static Result<std::unique_ptr<SocketChannel>> create(Fd socket, std::string description,
                                                       const SocketOptions& options) noexcept;

  /// The same with an eventfd made before, so that nothing can fail once the socket is there.
  static std::unique_ptr<SocketChannel> create_with(Fd socket, Fd eventfd, std::string description,
                                                    const SocketOptions& options) noexcept;

  Result<size_t> read_some(std::span<std::byte> into) noexcept override;
  Result<size_t> read_into(std::span<const iovec> pieces) noexcept override;
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override;
  Result<size_t> write_zero_copy(std::span<const iovec> slices) noexcept override;
  Result<void> enable_zero_copy() noexcept override;
  Result<ZeroCopyFlush> flush_zero_copy() noexcept override;
  void set_read_deadline(Deadline deadline) noexcept override { read_deadline_.set(deadline); }
  /// Also lengthens TCP_USER_TIMEOUT where the deadline is longer than the stall timeout: the
  /// kernel must not give up before the deadline that has a name does.
  void set_write_deadline(Deadline deadline) noexcept override;
  /// The peer's reader sees the end of the stream at once. A TCP peer that only writes is told when
  /// this channel is destroyed (a reset, if bytes were left unread): the kernel goes on taking
  /// bytes until then.
  void shutdown() noexcept override;
  void finish_writing() noexcept override;
  bool peer_closed() noexcept override;
  bool bidirectional() const noexcept override { return true; }
  uint64_t queued() const noexcept override;
  std::string describe() const noexcept override { return description_; }

  /// The socket, for options and polls of somebody who knows that it is one; stays ours.
  int native_handle() const noexcept { return socket_.get(); }

 private:
  SocketChannel(Fd socket, Fd eventfd, std::string description,
                const SocketOptions& options) noexcept;
  void tune_tcp(const SocketOptions& options) noexcept;
  bool poll_peer_closed() const noexcept;
  Result<size_t> send(std::span<const iovec> slices, bool zero_copy) noexcept;
  Result<void> flush_pending() noexcept;

  // Set once, in create().
  const Fd socket_;
  const std::string description_;
  const uint32_t stall_timeout_ms_;
  bool tcp_ = false;
  ZeroCopyLedger zero_copy_;  // the writing thread's
  // Any thread.
  Interrupt interrupt_;
  SharedDeadline read_deadline_;
  SharedDeadline write_deadline_;
  Mutex shutdown_mutex_;  // one shutdown() at a time, see there
  std::atomic<bool> peer_was_closed_{false};
};

}  // namespace tern::transport
