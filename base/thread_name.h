// SPDX-License-Identifier: Apache-2.0
//
// Names of threads, as `top -H` and query-migrationthreads show them.
#pragma once

#include <string>
#include <string_view>

namespace tern {

/// Names the calling thread prefix + name, cut at the kernel's 15 characters; returns what it is
/// called now.
std::string name_this_thread(std::string_view prefix, std::string_view name) noexcept;

}  // namespace tern
