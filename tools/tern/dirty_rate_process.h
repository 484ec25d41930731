// SPDX-License-Identifier: Apache-2.0
//
// Process: another process of this machine, held so that its number cannot come to mean another
// one, with clear answers when it ends, starts another program or may not be looked at. Reads
// /proc; knows nothing of rates.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "ram/dirty/pagemap.h"
#include "tern/clock.h"
#include "tern/result.h"

namespace tern::tool {

// What happened is told by sys_errno of the errors:
inline constexpr int kProcessGone = ESRCH;        ///< there is none, or it ended
inline constexpr int kNotPermitted = EPERM;       ///< we may not look
inline constexpr int kProgramReplaced = ESTALE;   ///< it has called exec
inline constexpr int kNothingThere = ENODATA;     ///< no memory to measure
inline constexpr int kNotAvailable = EOPNOTSUPP;  ///< the kernel or server cannot do what was asked

/// One thread.
class Process {
 public:
  /// Errors: kProcessGone, kNotPermitted, kNothingThere (a kernel thread), invalid_argument (the
  /// number of a thread).
  static Result<Process> open(pid_t pid) noexcept;

  pid_t pid() const noexcept { return pid_; }
  /// Its name (comm), printable.
  const std::string& name() const noexcept { return name_; }
  /// Its directory in /proc.
  int directory() const noexcept { return directory_.get(); }
  Pagemap& pagemap() noexcept { return pagemap_; }

  /// Says if the process has ended or replaced its program.
  Result<void> check() noexcept;
  /// Text of a file of its directory, at most 256 MiB. Errors: as check(), then what reading says.
  Result<std::string> read(const char* file) noexcept;
  /// Copies its memory: `from` are ranges, `into` has room for all. Returns how many bytes came
  /// before the first that could not be read. Errors: kProcessGone, kNotPermitted.
  Result<size_t> copy(std::span<const MemoryRange> from, std::span<std::byte> into) noexcept;
  /// How many children it has; 0 if the kernel does not tell.
  size_t children() noexcept;
  /// If a signal or a debugger holds it.
  bool stopped() noexcept;
  /// Waits until `until` (of system_clock()), or until `stop` becomes readable: true then. Errors:
  /// kProcessGone as soon as it ends.
  Result<bool> wait(Nanoseconds until, int stop) noexcept;

 private:
  Process(pid_t pid, Fd pidfd, Fd directory, Pagemap pagemap) noexcept
      : pid_(pid),
        pidfd_(std::move(pidfd)),
        directory_(std::move(directory)),
        pagemap_(std::move(pagemap)) {}
  Error gone() const noexcept;
  bool ended() const noexcept;

  pid_t pid_;
  Fd pidfd_;
  Fd directory_;
  Pagemap pagemap_;
  std::string name_;
};

/// Why looking at a process was refused, for people: whose it is, or what forbids it.
std::string refusal_text(pid_t pid, uid_t owner, uid_t we, int ptrace_scope) noexcept;

/// The state letter in /proc/PID/stat; '?' if there is none.
char state_in_stat(std::string_view stat) noexcept;

/// The process that a thread is of, out of /proc/TID/status; 0 if it cannot be found.
pid_t process_in_status(std::string_view status) noexcept;

/// The real user of a process, out of /proc/PID/status; our own if it cannot be found.
uid_t owner_in_status(std::string_view status, uid_t otherwise) noexcept;

}  // namespace tern::tool
