// SPDX-License-Identifier: Apache-2.0
//
// Why no migration may start at the moment. Knows reasons, not migrations.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tern/qmp.h"
#include "tern/result.h"

namespace tern::qmp {

/// Thread rules: any thread. First in the lock order after the command lock: a migration is started
/// with the lock held, so that no blocker slips in between the look and the start.
class Blockers {
 public:
  static constexpr size_t kMaxReasonBytes = 1000;
  static constexpr size_t kMax = 256;

  /// `is_running` is asked under the lock. Errors: invalid_argument, failed_precondition.
  Result<BlockerId> add(std::string reason, const std::function<bool()>& is_running) noexcept
      TERN_EXCLUDES(mutex_);
  void remove(BlockerId id) noexcept TERN_EXCLUDES(mutex_);
  /// Newest first.
  std::vector<std::string> reasons() const noexcept TERN_EXCLUDES(mutex_);

  /// Runs `start` unless something blocks it; then the newest reason is the error.
  Result<void> unless_blocked(const std::function<Result<void>()>& start) noexcept
      TERN_EXCLUDES(mutex_);

 private:
  struct Blocker {
    uint64_t id;
    std::string reason;
  };
  mutable Mutex mutex_;
  std::vector<Blocker> blockers_ TERN_GUARDED_BY(mutex_);
  uint64_t next_id_ TERN_GUARDED_BY(mutex_) = 1;
};

}  // namespace tern::qmp
