// SPDX-License-Identifier: Apache-2.0

#include "ram/holes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "base/fd.h"
#include "ram/dirty/block_checks.h"
#include "ram/dirty/pagemap.h"
#include "tern/dirty_tracker.h"

namespace tern {
namespace {

constexpr uint64_t kPagemapPresent = uint64_t{1} << 63;
constexpr uint64_t kPagemapSwapped = uint64_t{1} << 62;

void set_all(BlockBitmap& into) noexcept { into.set_run({0, into.pages()}); }

/// Sets the pages that [offset, offset + bytes) of the block touches.
void set_bytes(BlockBitmap& into, uint64_t offset, uint64_t bytes) noexcept {
  const uint64_t first = offset / kTargetPageBytes;
  const uint64_t end = (offset + bytes + kTargetPageBytes - 1) / kTargetPageBytes;
  into.set_run({first, end - first});
}

Result<void> scan_page_tables(Pagemap& pagemap, const RamBlock& block, BlockBitmap& into) noexcept {
  const PageFilter populated{.any_of = kPagePresent | kPageSwapped, .none_of = kPageZeroPfn};
  return pagemap.scan({block.host, block.used_bytes}, populated, Pagemap::Protect::no,
                      [&](uint64_t offset, uint64_t bytes) { set_bytes(into, offset, bytes); });
}

Result<void> read_page_tables(const Pagemap& pagemap, const RamBlock& block,
                              BlockBitmap& into) noexcept {
  std::array<uint64_t, 2048> entries;  // 8 MiB of memory
  const uint64_t pages = block.used_bytes / kTargetPageBytes;
  for (uint64_t page = 0; page < pages;) {
    const size_t want = std::min<uint64_t>(entries.size(), pages - page);
    const size_t got = TERN_TRY(
        pagemap.read_entries({block.host, block.used_bytes}, page, std::span(entries).first(want)));
    for (size_t i = 0; i < got; ++i) {
      if ((entries[i] & (kPagemapPresent | kPagemapSwapped)) != 0) into.set(page + i);
    }
    page += got;
  }
  return {};
}

/// Sets the pages of the block that hold data in its file. Returns false if the file cannot tell.
bool seek_data(const RamBlock& block, BlockBitmap& into) noexcept {
  // Opened anew, for the position of the embedder's descriptor is his.
  const std::string path = "/proc/self/fd/" + std::to_string(block.fd);
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return false;
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
      status.st_blocks * 512 >= status.st_size) {
    // As many bytes as it is long: no holes, and no need to walk past every page of it.
    set_all(into);
    return true;
  }
  const uint64_t begin = block.fd_offset;
  const uint64_t end = begin + block.used_bytes;
  for (uint64_t at = begin; at < end;) {
    const off_t data = ::lseek(file.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return true;  // nothing but a hole from here to the end
    if (data < 0) return false;
    if (static_cast<uint64_t>(data) >= end) return true;
    const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
    if (hole <= data) return false;
    const uint64_t from = static_cast<uint64_t>(data) - begin;
    const uint64_t to = std::min(static_cast<uint64_t>(hole), end) - begin;
    set_bytes(into, from, to - from);
    at = static_cast<uint64_t>(hole);
  }
  return true;
}

/// Bytes that the block's file takes, 0 if it cannot tell.
uint64_t file_bytes(int fd) noexcept {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

/// A shared mapping of huge pages. Its file knows how many it has, the page tables know which of
/// them we mapped: if the numbers are equal, before and after looking, those are the same pages.
/// Returns false if they differ (the block is a part of the file, another process filled pages, the
/// kernel moves one just now).
Result<bool> count_huge_pages(const RamBlock& block, BlockBitmap& into) noexcept {
  std::optional<Pagemap> pagemap;
  pagemap.emplace(TERN_TRY(Pagemap::open()));
  BlockBitmap present(into.pages());
  const uint64_t before = file_bytes(block.fd);
  TERN_TRY(read_page_tables(*pagemap, block, present));
  if (file_bytes(block.fd) != before || present.count() * kTargetPageBytes != before) return false;
  into.or_map(present);
  return true;
}

/// Private huge pages: mincore(2), for it counts a page that the kernel is moving as there (a read
/// of pagemap does not) and a write-protection marker as not there (PAGEMAP_SCAN does not).
Result<void> ask_mincore(const RamBlock& block, BlockBitmap& into) noexcept {
  std::array<unsigned char, 16384> resident;  // 64 MiB of memory
  const uint64_t pages = block.used_bytes / kTargetPageBytes;
  for (uint64_t page = 0; page < pages; page += resident.size()) {
    const uint64_t count = std::min<uint64_t>(resident.size(), pages - page);
    if (::mincore(block.host + page * kTargetPageBytes, count * kTargetPageBytes,
                  resident.data()) != 0) {
      return errno_error(ErrorCode::unsupported, "mincore", errno);
    }
    for (uint64_t i = 0; i < count; ++i) {
      if ((resident[i] & 1) != 0) into.set(page + i);
    }
  }
  return {};
}

std::string_view name_of(PageTableMethod method) noexcept {
  return method == PageTableMethod::scan ? "pagemap-scan" : "pagemap";
}

Result<std::string_view> find_huge(const RamBlock& block, BlockBitmap& into) noexcept {
  if (block.fd < 0 && !block.shared) {
    TERN_TRY(ask_mincore(block, into));
    return std::string_view("mincore");
  }
  if (block.fd >= 0 && block.shared && TERN_TRY(count_huge_pages(block, into))) {
    return std::string_view("pagemap");
  }
  set_all(into);
  return std::string_view("all");
}

Result<std::string_view> find_in_block(PageTableMethod method, std::optional<Pagemap>& pagemap,
                                       const RamBlock& block, BlockBitmap& into) noexcept {
  if (block.page_bytes > kTargetPageBytes) return find_huge(block, into);
  const bool by_file = block.fd >= 0;
  const bool by_page_tables = !block.shared;
  if (!by_file && !by_page_tables) {
    set_all(into);
    return std::string_view("all");
  }
  if (by_file && !seek_data(block, into)) {
    set_all(into);
    return std::string_view("all");
  }
  if (!by_page_tables) return std::string_view("seek-data");
  if (!pagemap) pagemap.emplace(TERN_TRY(Pagemap::open()));
  if (method == PageTableMethod::scan) {
    TERN_TRY(scan_page_tables(*pagemap, block, into));
  } else {
    TERN_TRY(read_page_tables(*pagemap, block, into));
  }
  return name_of(method);
}

}  // namespace

Result<std::string_view> find_populated_by(PageTableMethod method, std::span<const RamBlock> blocks,
                                           DirtyBitmap& into) noexcept {
  TERN_TRY(check_shape(blocks, into).context("finding untouched RAM"));
  TERN_TRY(check_sharing(blocks).context("finding untouched RAM"));
  std::optional<Pagemap> pagemap;
  std::string_view used;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string_view here =
        TERN_TRY(find_in_block(method, pagemap, blocks[i], into.block(i))
                     .context("finding untouched RAM of block " + blocks[i].idstr));
    used = used.empty() || used == here ? here : "mixed";
  }
  return used.empty() ? "all" : used;
}

Result<std::string_view> find_populated(std::span<const RamBlock> blocks,
                                        DirtyBitmap& into) noexcept {
  TERN_TRY(check_shape(blocks, into).context("finding untouched RAM"));
  Result<Pagemap> probe = Pagemap::open();
  if (probe) {
    return find_populated_by(probe->can_scan() ? PageTableMethod::scan : PageTableMethod::read,
                             blocks, into);
  }
  // No /proc, or it is closed to us. Files still tell.
  bool all_by_file = true;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const bool told = blocks[i].fd >= 0 && blocks[i].shared &&
                      blocks[i].page_bytes == kTargetPageBytes &&
                      seek_data(blocks[i], into.block(i));
    if (!told) set_all(into.block(i));
    all_by_file = all_by_file && told;
  }
  return std::string_view(all_by_file && !blocks.empty() ? "seek-data" : "all");
}

}  // namespace tern
