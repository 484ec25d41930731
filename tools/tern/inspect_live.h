// SPDX-License-Identifier: Apache-2.0
//
// Bodies of the live sections that tern itself does not load: "block" (block migration, QEMU up
// to 9.0) and "dirty-bitmap". Both delimit themselves.
//
//   block        = { be64 sector<<9|flags  payload }* until 0x02
//                  0x01 DEVICE_BLOCK cstr device, 1 MiB of data (none with 0x08 ZERO_BLOCK)
//                  0x04 PROGRESS percent
//   dirty-bitmap = { u8 flags  [cstr node: 0x08]  [cstr bitmap: 0x04]  payload }* until 0x01
//                  0x10 START be32 granularity u8 flags   0x20 COMPLETE
//                  0x40 BITS be64 sector be32 sectors, and without 0x02 ZEROES be64 n, n bytes
#pragma once

#include <string_view>

#include "base/stream_io.h"
#include "tools/tern/inspect.h"

namespace tern::tool {

inline constexpr std::string_view kBlockIdstr = "block";
inline constexpr std::string_view kDirtyBitmapIdstr = "dirty-bitmap";

/// One body; returns what it held.
Result<Json> walk_block_body(StreamReader& in, InspectContext& context) noexcept;
Result<Json> walk_dirty_bitmap_body(StreamReader& in, InspectContext& context) noexcept;

}  // namespace tern::tool
