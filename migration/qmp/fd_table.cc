// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/fd_table.h"

#include <utility>

namespace tern::qmp {

Result<void> FdTable::put(const std::string& name, Fd fd) noexcept {
  // fd:3 means descriptor 3, so a name cannot look like a number.
  if (name.size() > kMaxNameBytes || (!name.empty() && name[0] >= '0' && name[0] <= '9')) {
    return Error(
        ErrorCode::invalid_argument,
        "Parameter 'fdname' expects a name of at most 255 bytes not starting with a digit");
  }
  if (fds_.size() >= kMax && fds_.count(name) == 0) {
    return Error(ErrorCode::resource_exhausted,
                 "Too many file descriptors with names, " + std::to_string(kMax) + " are kept");
  }
  fds_[name] = std::move(fd);
  return {};
}

Result<Fd> FdTable::take(const std::string& name) noexcept {
  const auto found = fds_.find(name);
  if (found == fds_.end()) {
    return Error(ErrorCode::invalid_argument,
                 "File descriptor named '" + name.substr(0, kMaxNameBytes) + "' not found");
  }
  Fd fd = std::move(found->second);
  fds_.erase(found);
  return fd;
}

}  // namespace tern::qmp
