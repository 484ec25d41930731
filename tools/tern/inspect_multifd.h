// SPDX-License-Identifier: Apache-2.0
//
// A multifd channel: the initial packet, then packets (ram/wire/multifd_packet.h), each with its
// payload, which is skipped.
#pragma once

#include "base/stream_io.h"
#include "ram/wire/multifd_packet.h"
#include "tools/tern/inspect.h"

namespace tern::tool {

Result<void> walk_multifd(StreamReader& in, InspectContext& context) noexcept;

}  // namespace tern::tool
