// SPDX-License-Identifier: Apache-2.0
//
// Replies as people read them: query-migrate as aligned lines with units, lists of objects as
// tables, flat objects as lines, everything else as indented JSON. Reads nothing, sends nothing.
#pragma once

#include <string>

#include "tools/common/json_fields.h"

namespace tern::tool {

/// The text for the value that `command` returned; ends with a line end.
std::string human_reply(const std::string& command, const Json& value);

/// "1.5 s", "12 s", "3 min 20 s", "2 h 5 min".
std::string human_seconds(double seconds);

/// "300 ms", and human_seconds() from ten seconds on.
std::string human_milliseconds(double milliseconds);

}  // namespace tern::tool
