// SPDX-License-Identifier: Apache-2.0
//
// The return path: what a destination says to the source (messages: migration/stream/return_path).
// The received-bitmap follows its message outside the length: be64 size, size bytes, be64
// 0x0123456789abcdef.
#pragma once

#include "base/stream_io.h"
#include "tools/tern/inspect.h"

namespace tern::tool {

Result<void> walk_return_path(StreamReader& in, InspectContext& context) noexcept;

}  // namespace tern::tool
