// SPDX-License-Identifier: Apache-2.0
//
// A multifd channel: the initial packet, then packets.
//
//   initial = be32 0x11223344  be32 1  uuid[16]  u8 id  39 unused                     64 bytes
//   packet  = be32 0x11223344  be32 1  be32 flags  be32 pages_alloc  be32 normal
//             be32 payload bytes  be64 number  be32 zero  28 unused
//             block[256]  be64 offset[128]                                1344 bytes, payload
//   device  = be32 0x11223344  be32 1  be32 0x40  idstr[256]  be32 instance
//             be32 payload bytes                                           276 bytes, payload
//
// 128 is the count for pages of 4 KiB, the only size here. The payload field means nothing without
// normal pages (QEMU 7.2 leaves an old number in it). Spoken by QEMU 4.0 and later; zero pages in
// packets since 9.0, device packets since 10.0.
#pragma once

#include "base/stream_io.h"
#include "tools/tern/inspect.h"

namespace tern::tool {

inline constexpr uint32_t kMultifdMagic = 0x11223344;

Result<void> walk_multifd(StreamReader& in, InspectContext& context) noexcept;

}  // namespace tern::tool
