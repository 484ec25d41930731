// SPDX-License-Identifier: Apache-2.0
//
// What can stand at the end of a half-typed `tern ctl SOCKET …`: for the completion of shells.
#pragma once

#include <string>
#include <vector>

#include "tools/tern/ctl_schema.h"

namespace tern::tool {

/// The words that the command itself understands besides the server's commands.
const std::vector<std::string>& ctl_words() noexcept;

/// Candidates for the last of `words`, which may be empty; the words before it are complete. Each
/// is a whole word; those that end in '=' or '.' go on.
std::vector<std::string> complete(const Catalog& catalog, const std::vector<std::string>& words);

}  // namespace tern::tool
