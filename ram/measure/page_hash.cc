// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/page_hash.h"

// Compiled in: whoever links tern needs no library for one function.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tern/ram_block.h"

namespace tern {

uint64_t hash_page(const std::byte* page) noexcept { return XXH3_64bits(page, kTargetPageBytes); }

}  // namespace tern
