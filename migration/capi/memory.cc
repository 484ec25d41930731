// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/memory.h"

#include <string>

#include "migration/capi/error.h"
#include "migration/capi/sized.h"
#include "ram/guest_memory.h"
#include "tern/dirty_tracker.h"

namespace tern::capi {
namespace {

static_assert(TERN_TARGET_PAGE_BYTES == kTargetPageBytes);
constexpr uint32_t kKnownFlags = TERN_RAM_SHARED | TERN_RAM_HAS_FD;

Result<RamBlock> read_block(const tern_ram_block& given, const std::string& where) noexcept {
  if (given.idstr == nullptr) {
    return Error(ErrorCode::invalid_argument, where + ".idstr is NULL");
  }
  if ((given.flags & ~kKnownFlags) != 0 || given.reserved != 0) {
    return Error(ErrorCode::unsupported, where + " has flags that this version of tern has not");
  }
  const bool has_fd = (given.flags & TERN_RAM_HAS_FD) != 0;
  if (has_fd && given.fd < 0) {
    return Error(ErrorCode::invalid_argument, where + ".fd is no descriptor");
  }
  return RamBlock{.idstr = given.idstr,
                  .host = static_cast<std::byte*>(given.host),
                  .used_bytes = given.used_bytes,
                  .max_bytes = given.max_bytes,
                  .gpa = given.gpa,
                  .page_bytes = given.page_bytes != 0 ? given.page_bytes : kTargetPageBytes,
                  .fd = has_fd ? given.fd : -1,
                  .fd_offset = has_fd ? given.fd_offset : 0,
                  .shared = (given.flags & TERN_RAM_SHARED) != 0};
}

bool same_shape(const DirtyBitmap& a, const DirtyBitmap& b) noexcept {
  if (a.blocks() != b.blocks()) return false;
  for (size_t i = 0; i < a.blocks(); ++i) {
    if (a.block(i).pages() != b.block(i).pages()) return false;
  }
  return true;
}

// nullptr for a block that does not exist.
const BlockBitmap* block_of(const tern_dirty_bitmap* bitmap, size_t block) noexcept {
  if (bitmap == nullptr || block >= bitmap->map().blocks()) return nullptr;
  return &bitmap->map().block(block);
}
BlockBitmap* block_of(tern_dirty_bitmap* bitmap, size_t block) noexcept {
  if (bitmap == nullptr || block >= bitmap->map().blocks()) return nullptr;
  return &bitmap->map().block(block);
}

}  // namespace

Result<std::vector<RamBlock>> read_blocks(const tern_ram_block* blocks, size_t count) noexcept {
  const auto given = TERN_TRY(read_array(blocks, count, "ram"));
  std::vector<RamBlock> known;
  known.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    known.push_back(TERN_TRY(read_block(given[i], "ram[" + std::to_string(i) + "]")));
  }
  TERN_TRY(GuestMemory::create(known));
  return known;
}

std::vector<tern_ram_block> blocks_for_c(std::span<const RamBlock> blocks) noexcept {
  std::vector<tern_ram_block> out;
  out.reserve(blocks.size());
  for (const RamBlock& block : blocks) {
    out.push_back(
        {.size = sizeof(tern_ram_block),
         .idstr = block.idstr.c_str(),
         .host = block.host,
         .used_bytes = block.used_bytes,
         .max_bytes = block.max_bytes,
         .gpa = block.gpa,
         .fd_offset = block.fd_offset,
         .fd = block.fd,
         .flags = (block.shared ? TERN_RAM_SHARED : 0) | (block.fd >= 0 ? TERN_RAM_HAS_FD : 0),
         .page_bytes = block.page_bytes,
         .reserved = 0});
  }
  return out;
}

}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

int tern_dirty_bitmap_create(const tern_ram_block* blocks, size_t count, tern_dirty_bitmap** out,
                             tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    const std::vector<RamBlock> known = TERN_TRY(read_blocks(blocks, count));
    *out = new tern_dirty_bitmap{.own = DirtyBitmap(known)};
    return {};
  });
}

void tern_dirty_bitmap_free(tern_dirty_bitmap* bitmap) noexcept {
  if (bitmap != nullptr && bitmap->lent == nullptr) delete bitmap;
}

size_t tern_dirty_bitmap_blocks(const tern_dirty_bitmap* bitmap) noexcept {
  return bitmap != nullptr ? bitmap->map().blocks() : 0;
}
uint64_t tern_dirty_bitmap_pages(const tern_dirty_bitmap* bitmap, size_t block) noexcept {
  const BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr ? map->pages() : 0;
}
uint64_t tern_dirty_bitmap_count(const tern_dirty_bitmap* bitmap) noexcept {
  return bitmap != nullptr ? bitmap->map().count() : 0;
}
uint64_t tern_dirty_bitmap_block_count(const tern_dirty_bitmap* bitmap, size_t block) noexcept {
  const BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr ? map->count() : 0;
}
int tern_dirty_bitmap_test(const tern_dirty_bitmap* bitmap, size_t block, uint64_t page) noexcept {
  const BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr && map->test(page) ? 1 : 0;
}
uint64_t tern_dirty_bitmap_set_range(tern_dirty_bitmap* bitmap, size_t block, uint64_t first,
                                     uint64_t count) noexcept {
  BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr ? map->set_run({first, count}) : 0;
}
uint64_t tern_dirty_bitmap_clear_range(tern_dirty_bitmap* bitmap, size_t block, uint64_t first,
                                       uint64_t count) noexcept {
  BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr ? map->clear_run({first, count}) : 0;
}
uint64_t tern_dirty_bitmap_or_word(tern_dirty_bitmap* bitmap, size_t block, uint64_t word,
                                   uint64_t bits) noexcept {
  BlockBitmap* map = block_of(bitmap, block);
  return map != nullptr ? map->or_word(word, bits) : 0;
}

int tern_dirty_bitmap_or(tern_dirty_bitmap* bitmap, const tern_dirty_bitmap* other, uint64_t* added,
                         tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"bitmap", bitmap}, {"other", other}}));
    if (!same_shape(bitmap->map(), other->map())) {
      return Error(ErrorCode::invalid_argument, "the two bitmaps are of different machines");
    }
    uint64_t fresh = 0;
    for (size_t i = 0; i < bitmap->map().blocks(); ++i) {
      fresh += bitmap->map().block(i).or_map(other->map().block(i));
    }
    if (added != nullptr) *added = fresh;
    return {};
  });
}

uint64_t tern_dirty_bitmap_next_run(const tern_dirty_bitmap* bitmap, size_t block, uint64_t from,
                                    uint64_t max_pages, uint64_t* first) noexcept {
  const BlockBitmap* map = block_of(bitmap, block);
  if (map == nullptr || max_pages == 0) return 0;
  const PageRun run = map->next_run(from, max_pages);
  if (first != nullptr && run.count != 0) *first = run.first;
  return run.count;
}

const uint64_t* tern_dirty_bitmap_words(const tern_dirty_bitmap* bitmap, size_t block,
                                        size_t* count) noexcept {
  const BlockBitmap* map = block_of(bitmap, block);
  if (count != nullptr) *count = map != nullptr ? map->words().size() : 0;
  return map != nullptr ? map->words().data() : nullptr;
}

int tern_find_populated(const tern_ram_block* blocks, size_t count, tern_dirty_bitmap* into,
                        const char** method, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"into", into}}));
    const std::vector<RamBlock> known = TERN_TRY(read_blocks(blocks, count));
    const std::string_view name = TERN_TRY(find_populated(known, into->map()));
    if (method != nullptr) *method = name.data();
    return {};
  });
}
