// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that clients handed over: those that arrived on one connection and wait for the getfd
// that names them, and those that have a name. Bounded: a client cannot use up the process's
// descriptors.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>

#include "base/fd.h"
#include "base/mutex.h"
#include "tern/result.h"

namespace tern::qmp {

/// Descriptors received by one connection (SCM_RIGHTS), oldest first. Any thread: they arrive on
/// the connection's and are named where commands run.
class ReceivedFds {
 public:
  static constexpr size_t kMax = 16;
  /// Returns false and closes it if too many wait already.
  bool add(Fd fd) noexcept TERN_EXCLUDES(mutex_);
  /// Empty if none waits.
  Fd take() noexcept TERN_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::deque<Fd> fds_ TERN_GUARDED_BY(mutex_);
};

/// Named descriptors. One thread at a time (the command lock).
class FdTable {
 public:
  static constexpr size_t kMax = 256;
  static constexpr size_t kMaxNameBytes = 255;

  /// Replaces one of the same name. Errors: invalid_argument (name), resource_exhausted.
  Result<void> put(const std::string& name, Fd fd) noexcept;
  /// Takes it out. Errors: invalid_argument (no such name).
  Result<Fd> take(const std::string& name) noexcept;

 private:
  std::map<std::string, Fd> fds_;
};

}  // namespace tern::qmp
