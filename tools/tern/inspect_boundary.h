// SPDX-License-Identifier: Apache-2.0
//
// Where a section ends that nothing describes: guessed by its footer, followed by something that
// could be an item. Device bytes can imitate that, so it is for looking only, never for loading.
// Needed for device sections in a postcopy package and before RAM, for live sections of devices,
// and for streams whose description is missing or cut off.
#pragma once

#include <cstdint>
#include <vector>

#include "base/stream_io.h"
#include "tern/result.h"

namespace tern::tool {

/// Takes bytes up to the footer of `section_id`, which it leaves; returns how many. They are put
/// into `keep` up to `keep_max` (resource_exhausted beyond), or dropped if it is nullptr. `end`:
/// where the enclosing package ends, UINT64_MAX outside one.
Result<uint64_t> take_to_footer(StreamReader& in, uint32_t section_id, uint64_t end,
                                std::vector<std::byte>* keep, uint64_t keep_max) noexcept;

}  // namespace tern::tool
