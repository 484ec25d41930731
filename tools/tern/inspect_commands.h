// SPDX-License-Identifier: Apache-2.0
//
// Payloads of the commands on the main stream, QEMU's and those of tern's dialect. PACKAGED's
// content and what a command means for the rest of the stream are the walker's.
#pragma once

#include "base/stream_io.h"
#include "migration/stream/framing.h"
#include "tools/tern/inspect.h"

namespace tern::tool {

/// Takes the payload; an object with what it says. For PACKAGED: {"package_bytes"}.
Result<Json> walk_command(StreamReader& in, const CommandHeader& header,
                          InspectContext& context) noexcept;

}  // namespace tern::tool
