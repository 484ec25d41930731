// SPDX-License-Identifier: Apache-2.0
//
// A Channel over plain descriptors that are not sockets: a pipe or file in one direction, or one
// pipe for each. Owns them; knows neither where they came from nor who is at the other end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/channel.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "transport/wait.h"

namespace tern::transport {

/// A descriptor that may be closed while a call on another thread uses it: the close then happens
/// when that call ends, so that its number cannot be given to something else under the call's feet.
class PipeEnd {
 public:
  /// Makes it non-blocking (put back when it is closed: a descriptor handed to us may be shared
  /// with a shell).
  explicit PipeEnd(Fd fd) noexcept;
  ~PipeEnd() { close(); }
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;

  /// Keeps the descriptor open while it lives. fd() is -1 if it was closed before.
  class Use {
   public:
    explicit Use(PipeEnd& end) noexcept : end_(end), fd_(end.begin_use()) {}
    ~Use() { end_.end_use(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    int fd() const noexcept { return fd_; }

   private:
    PipeEnd& end_;
    const int fd_;
  };

  void close() noexcept;
  /// What poll() says at once; 0 if closed.
  short poll_now(short events) noexcept;

 private:
  int begin_use() noexcept;
  void end_use() noexcept;
  void close_now() noexcept TERN_REQUIRES(mutex_);

  Mutex mutex_;
  Fd fd_ TERN_GUARDED_BY(mutex_);
  int old_flags_ TERN_GUARDED_BY(mutex_) = -1;
  int users_ TERN_GUARDED_BY(mutex_) = 0;
  bool close_wanted_ TERN_GUARDED_BY(mutex_) = false;
};

class PipeChannel final : public Channel {
 public:
  /// `in` is read, `out` is written; either may be empty, not both. Errors: resource_exhausted.
  static Result<std::unique_ptr<PipeChannel>> create(Fd in, Fd out, std::string description,
                                                     uint32_t stall_timeout_ms) noexcept;

  Result<size_t> read_some(std::span<std::byte> into) noexcept override;
  /// Never raises SIGPIPE or SIGXFSZ, whatever the process does with them.
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override;
  void set_read_deadline(Deadline deadline) noexcept override { read_deadline_.set(deadline); }
  void set_write_deadline(Deadline deadline) noexcept override { write_deadline_.set(deadline); }
  void shutdown() noexcept override;
  /// Closes the written end.
  void finish_writing() noexcept override { out_.close(); }
  /// The reader of the written end is gone, or, if nothing is written, the writer of the read end.
  /// Never for files.
  bool peer_closed() noexcept override;
  bool bidirectional() const noexcept override { return can_read_ && can_write_; }
  std::string describe() const noexcept override { return description_; }

  /// For exec: which directions have lost their other end.
  bool reader_gone() noexcept { return (out_.poll_now(POLLOUT) & POLLERR) != 0; }
  bool writer_gone() noexcept { return (in_.poll_now(POLLIN) & POLLHUP) != 0; }
  /// For exec: waits until there is something to read, `also` is readable or the time is over, and
  /// throws away what is there. false once nothing more can come.
  bool drain(std::span<std::byte> waste, int also, Milliseconds at_most) noexcept;

 private:
  PipeChannel(Fd in, Fd out, Fd eventfd, std::string description,
              uint32_t stall_timeout_ms) noexcept;

  // Set once.
  const bool can_read_;
  const bool can_write_;
  const std::string description_;
  // Any thread.
  PipeEnd in_;
  PipeEnd out_;
  Interrupt interrupt_;
  SharedDeadline read_deadline_;
  SharedDeadline write_deadline_;
};

}  // namespace tern::transport
