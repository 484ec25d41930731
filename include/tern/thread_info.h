// SPDX-License-Identifier: Apache-2.0
//
// The threads a migration runs, for pinning, for statistics and for query-migrationthreads.
#pragma once

#include <string>

#include "tern/version.h"

namespace tern {

struct ThreadInfo {
  std::string name;   ///< as `ps -L` shows it: at most 15 characters
  int thread_id = 0;  ///< the kernel's (gettid)
};

}  // namespace tern
