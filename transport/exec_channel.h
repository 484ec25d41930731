// SPDX-License-Identifier: Apache-2.0
//
// A Channel through a command of the user: exec:COMMAND. Outgoing, the child's stdin gets the
// stream and its stdout is the return path; incoming, its stdout is the stream and its stdin gets
// the return path. Owns the child.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/channel.h"
#include "transport/child.h"
#include "transport/pipe_channel.h"

namespace tern::transport {

enum class Direction { outgoing, incoming };

struct ExecOptions {
  uint32_t stall_timeout_ms = 60000;
  /// How long the destructor lets a child that was not cancelled finish what it was given
  /// (`exec:gzip > file` still writes when the source is done).
  Milliseconds linger{30000};
  /// How long it then has between SIGTERM and SIGKILL.
  Milliseconds patience{2000};
};

class ExecChannel final : public Channel {
 public:
  /// Errors: channel (no such command), resource_exhausted. A command that the shell does not find
  /// is seen later, as a child that exited with status 127.
  static Result<std::unique_ptr<ExecChannel>> spawn(const std::vector<std::string>& argv,
                                                    Direction direction,
                                                    const ExecOptions& options) noexcept;
  /// Ends the child within linger + patience; at once after shutdown() or an error.
  ~ExecChannel() override;

  Result<size_t> read_some(std::span<std::byte> into) noexcept override;
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override;
  void set_read_deadline(Deadline deadline) noexcept override {
    pipes_->set_read_deadline(deadline);
  }
  void set_write_deadline(Deadline deadline) noexcept override {
    pipes_->set_write_deadline(deadline);
  }
  /// Also sends SIGTERM to the child.
  void shutdown() noexcept override;
  void finish_writing() noexcept override { pipes_->finish_writing(); }
  /// The child exited or closed its side of the stream.
  bool peer_closed() noexcept override;
  bool bidirectional() const noexcept override { return true; }
  std::string describe() const noexcept override { return pipes_->describe(); }

 private:
  ExecChannel(std::unique_ptr<PipeChannel> pipes, std::unique_ptr<Child> child, Direction direction,
              const ExecOptions& options) noexcept;
  Result<size_t> explain(Result<size_t> result) noexcept;
  void let_finish() noexcept;

  const std::unique_ptr<PipeChannel> pipes_;
  const std::unique_ptr<Child> child_;
  const Direction direction_;
  const ExecOptions options_;
  // Any thread.
  std::atomic<bool> broken_{
      false};  // shut down or failed: the stream is torn, nothing is worth waiting for
};

}  // namespace tern::transport
