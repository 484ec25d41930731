// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/blockers.h"

#include <algorithm>
#include <utility>

namespace tern::qmp {

Result<BlockerId> Blockers::add(std::string reason,
                                const std::function<bool()>& is_running) noexcept {
  if (reason.empty() || reason.size() > kMaxReasonBytes) {
    return Error(ErrorCode::invalid_argument, "the reason of a migration blocker has 1.." +
                                                  std::to_string(kMaxReasonBytes) + " bytes");
  }
  const MutexLock lock(mutex_);
  if (blockers_.size() >= kMax) {
    return Error(ErrorCode::resource_exhausted, "too many migration blockers");
  }
  if (is_running()) {
    return Error(ErrorCode::failed_precondition,
                 "a migration runs, it cannot be blocked any more: " + reason);
  }
  blockers_.push_back({next_id_, std::move(reason)});
  return BlockerId{next_id_++};
}

void Blockers::remove(BlockerId id) noexcept {
  const MutexLock lock(mutex_);
  std::erase_if(blockers_, [id](const Blocker& b) { return b.id == static_cast<uint64_t>(id); });
}

std::vector<std::string> Blockers::reasons() const noexcept {
  const MutexLock lock(mutex_);
  std::vector<std::string> newest_first;
  for (auto b = blockers_.rbegin(); b != blockers_.rend(); ++b) newest_first.push_back(b->reason);
  return newest_first;
}

Result<void> Blockers::unless_blocked(const std::function<Result<void>()>& start) noexcept {
  const MutexLock lock(mutex_);
  if (!blockers_.empty()) {
    return Error(ErrorCode::failed_precondition, blockers_.back().reason);
  }
  return start();
}

}  // namespace tern::qmp
