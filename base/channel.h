// SPDX-License-Identifier: Apache-2.0
//
// Channel: a byte stream to the peer. What transport/ makes and migration/ uses; layers (faults in
// tests, TLS) are channels over channels.
//
// Thread rules: one thread reads, one thread writes (they may be different); shutdown, describe and
// peer_closed may be called from any thread at any time.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tern/clock.h"
#include "tern/result.h"

namespace tern {

/// A wait with a name, so that its error can say what was waited for and which setting bounds it.
struct Deadline {
  const char* name = "stall-timeout";
  Milliseconds after{60000};
};

class Channel {
 public:
  virtual ~Channel() = default;

  /// Reads 1..into.size() bytes; 0 means that the peer closed its side. Blocks until the read
  /// deadline. Errors: channel, timed_out (names the deadline), cancelled (after shutdown()).
  virtual Result<size_t> read_some(std::span<std::byte> into) noexcept = 0;

  /// The same into several pieces (1..1024, at least one of them not empty), filled in order. Fewer
  /// bytes than there is room for say nothing about the end.
  virtual Result<size_t> read_into(std::span<const iovec> pieces) noexcept {
    for (const iovec& piece : pieces) {
      if (piece.iov_len != 0) {
        return read_some({static_cast<std::byte*>(piece.iov_base), piece.iov_len});
      }
    }
    return Error(ErrorCode::invalid_argument, "read_into no space");
  }

  /// Writes at least one byte of the slices (at most 1024 of them) and returns how many. An error
  /// means that no byte of THIS call was accepted. That the kernel took the bytes does not mean
  /// that the peer has them.
  virtual Result<size_t> write_some(std::span<const iovec> slices) noexcept = 0;

  /// The same, but the kernel may read the bytes later and without a copy, until flush_zero_copy()
  /// has returned: they must stay mapped so long, and what leaves may be what they held at any
  /// moment of it. Only after enable_zero_copy().
  virtual Result<size_t> write_zero_copy(std::span<const iovec> slices) noexcept {
    return write_some(slices);
  }
  /// Errors: unsupported (not on this kind of channel, or not with this kernel).
  virtual Result<void> enable_zero_copy() noexcept {
    return Error(ErrorCode::unsupported,
                 "zero-copy-send: " + describe() + " is no TCP connection of its own");
  }
  struct ZeroCopyFlush {
    uint64_t writes = 0;  ///< finished since the last flush
    uint64_t copied = 0;  ///< of them those that the kernel copied after all
  };
  /// Waits until the kernel has read everything. Errors as of write_some.
  virtual Result<ZeroCopyFlush> flush_zero_copy() noexcept { return ZeroCopyFlush{}; }

  /// Bytes that were written and have not left this host; 0 where nobody can tell. Any thread.
  virtual uint64_t queued() const noexcept { return 0; }

  /// How long a read or write may make no progress. Any time; acts on the next call.
  virtual void set_read_deadline(Deadline deadline) noexcept = 0;
  virtual void set_write_deadline(Deadline deadline) noexcept = 0;

  /// Ends both directions: blocked and later calls fail with `cancelled`. Idempotent.
  virtual void shutdown() noexcept = 0;

  /// Says that nothing more will be written (the peer reads 0). Channels that cannot, do nothing.
  virtual void finish_writing() noexcept = 0;

  /// true once the peer closed or reset, even if bytes it sent are still unread. Does not block.
  virtual bool peer_closed() noexcept = 0;

  /// Whether the peer can answer on it (sockets and exec can, a plain pipe or file cannot).
  virtual bool bidirectional() const noexcept = 0;

  /// "tcp:127.0.0.1:4444".
  virtual std::string describe() const noexcept = 0;
};

/// A source's way to a channel: the seam at which tests put faults and simulated links. Called on
/// mig/src/main.
class Connector {
 public:
  virtual ~Connector() = default;
  virtual Result<std::unique_ptr<Channel>> connect(Deadline deadline) noexcept = 0;
  /// Makes a blocked connect return `cancelled`. Any thread, idempotent.
  virtual void abort() noexcept = 0;
  virtual std::string describe() const noexcept = 0;
  /// false for fd: and exec:, which lead to one channel only.
  virtual bool connects_many() const noexcept { return true; }
};

/// What to say where multifd meets an address of one channel (QEMU's sentence).
inline constexpr std::string_view kNeedsManyChannels =
    "Migration requires multi-channel URIs (e.g. tcp)";

/// A destination's: accepts connections, on mig/dst/listen.
class Listener {
 public:
  virtual ~Listener() = default;
  /// Blocks without limit until somebody connects or abort() is called (`cancelled`).
  virtual Result<std::unique_ptr<Channel>> accept() noexcept = 0;
  /// The same, but not longer than this. Errors: also timed_out.
  virtual Result<std::unique_ptr<Channel>> accept_within(Milliseconds) noexcept {
    return Error(ErrorCode::timed_out, "nobody else can connect");
  }
  virtual void abort() noexcept = 0;
  /// false for fd: and exec:, which give one channel and then an error.
  virtual bool accepts_many() const noexcept = 0;
};

}  // namespace tern
