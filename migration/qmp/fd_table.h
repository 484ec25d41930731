// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that clients handed over and named by getfd. Bounded: a client cannot use up the
// process's descriptors.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "base/fd.h"
#include "tern/result.h"

namespace tern::qmp {

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
