// SPDX-License-Identifier: Apache-2.0
//
// One child process of ours: started without leaking a descriptor into it, never left as a zombie.
// Knows nothing of streams.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "tern/clock.h"
#include "tern/result.h"
#include "transport/wait.h"

namespace tern::transport {

/// Thread rules: every function may be called from any thread. The owner ends the child before it
/// lets it go: see end().
class Child {
 public:
  /// Runs argv (searched in PATH) with these as standard input and output; stderr is inherited,
  /// nothing else is. Signals are as in a fresh process, whatever this process ignores or blocks.
  /// Errors: channel (no such command), resource_exhausted.
  static Result<std::unique_ptr<Child>> spawn(const std::vector<std::string>& argv, Fd standard_in,
                                              Fd standard_out) noexcept;
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Readable once the child has exited; for poll(), which ignores the -1 of one that was gone at
  /// once.
  int exit_fd() const noexcept { return pidfd_.get(); }
  /// Waits and reaps. false if it still runs after that time.
  bool wait_exit(Milliseconds at_most) noexcept;
  /// Does nothing to a child that has exited.
  void signal(int number) noexcept;
  /// SIGTERM, then SIGKILL to one that does not listen. Bounded.
  void end(Milliseconds patience) noexcept;
  /// "child exited with status 3", "child was killed by signal 9"; none while it runs or if
  /// somebody else reaped it.
  std::optional<std::string> exit_text() noexcept;

 private:
  explicit Child(Fd pidfd) noexcept : pidfd_(std::move(pidfd)) {}
  bool reap() noexcept;

  const Fd pidfd_;  // none: gone before it could be watched
  Mutex mutex_;
  bool reaped_ TERN_GUARDED_BY(mutex_) = false;
  std::optional<std::string> exit_text_ TERN_GUARDED_BY(mutex_);
};

/// A pipe, close-on-exec, both ends above the standard descriptors (so that giving them to a child
/// as 0 and 1 cannot collide with themselves in a process that has those closed).
struct Pipe {
  Fd read_end;
  Fd write_end;
};
Result<Pipe> make_pipe() noexcept;

}  // namespace tern::transport
