// SPDX-License-Identifier: Apache-2.0
//
// The first of the errors that several threads may run into: the cause, of which what others see
// later is the consequence.
#pragma once

#include <optional>

#include "base/mutex.h"
#include "tern/result.h"

namespace tern {

/// Thread rules: any thread.
class ErrorSlot {
 public:
  /// Keeps it if it is the first.
  void set(const Error& error) noexcept TERN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (!error_) error_ = error;
  }
  std::optional<Error> get() const noexcept TERN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return error_;
  }

 private:
  mutable Mutex mutex_;
  std::optional<Error> error_ TERN_GUARDED_BY(mutex_);
};

}  // namespace tern
