// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "ram/measure/page_hash.h"
#include "tern/ram_block.h"

namespace tern::tool {
namespace {

// Bits of an entry of /proc/PID/pagemap.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr uint64_t kFileOrShared = uint64_t{1} << 61;
constexpr uint64_t kSoftDirty = uint64_t{1} << 55;
constexpr uint64_t kFrame = (uint64_t{1} << 55) - 1;

constexpr uint64_t kNoFrame = ~uint64_t{0};
// Without PAGEMAP_SCAN there are 8 bytes to be read for each page, whether or not it exists: half a
// gigabyte for this. Larger mappings are reservations of run times and sanitizers.
constexpr uint64_t kLargestRead = uint64_t{256} << 30;
constexpr size_t kEntries = 16384;

MemoryRange range_of(uint64_t start, uint64_t end) noexcept {
  return {reinterpret_cast<std::byte*>(static_cast<uintptr_t>(start)), end - start};
}

// Which frame an untouched page reads as. The kernel shows frames to root only.
uint64_t frame_of_zeros() noexcept {
  void* page = ::mmap(nullptr, kTargetPageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return kNoFrame;
  uint64_t entry = 0;
  // The kernel maps it when it reads the page for us, as for anybody who reads it.
  const auto address = reinterpret_cast<uintptr_t>(page);
  std::byte byte{};
  const iovec here{&byte, 1};
  const iovec there{page, 1};
  if (::process_vm_readv(::getpid(), &here, 1, &there, 1, 0) == 1) {
    if (const Result<Pagemap> pagemap = Pagemap::open()) {
      pagemap->read_entries(range_of(address, address + kTargetPageBytes), 0, std::span(&entry, 1))
          .ignore("then it is not known");
    }
  }
  ::munmap(page, kTargetPageBytes);
  const uint64_t frame = entry & kFrame;
  return (entry & kPresent) == 0 || frame == 0 ? kNoFrame : frame;
}

}  // namespace

ProcessMemory::ProcessMemory(Process& process, const MappingChoice& choice) noexcept
    : process_(process),
      choice_(choice),
      zero_frame_(process.pagemap().can_scan() ? kNoFrame : frame_of_zeros()) {}

bool ProcessMemory::too_large(const Area& area) const noexcept {
  return area.kind != Area::Kind::file && !process_.pagemap().can_scan() &&
         area.mapping.bytes() > kLargestRead;
}

bool ProcessMemory::partly_seen() const noexcept {
  return std::any_of(areas_.begin(), areas_.end(),
                     [](const Area& area) { return area.kind == Area::Kind::mapped; });
}

const Area* ProcessMemory::area_at(uint64_t address) const noexcept {
  const auto area = std::partition_point(areas_.begin(), areas_.end(),
                                         [&](const Area& a) { return a.mapping.end <= address; });
  return area != areas_.end() && area->mapping.start <= address ? &*area : nullptr;
}

// Opens the file behind shared memory, if it is one of the kernel's own (tmpfs).
void ProcessMemory::find_file(Area& area) noexcept {
  area.kind = Area::Kind::mapped;
  char path[64];
  std::snprintf(path, sizeof(path), "map_files/%llx-%llx",
                static_cast<unsigned long long>(area.mapping.start),
                static_cast<unsigned long long>(area.mapping.end));
  // Looked at before it is opened: opening a device or a FIFO does something.
  struct stat about {};
  if (::fstatat(process_.directory(), path, &about, 0) != 0 || !S_ISREG(about.st_mode)) return;
  auto file = std::make_shared<Fd>(::openat(process_.directory(), path, O_RDONLY | O_CLOEXEC));
  struct statfs system {};
  if (!*file || ::fstatfs(file->get(), &system) != 0 || system.f_type != TMPFS_MAGIC) return;
  area.kind = Area::Kind::file;
  area.file = std::move(file);
}

Result<void> ProcessMemory::read_mappings() noexcept {
  std::string text = TERN_TRY(process_.read("maps"));
  if (text == maps_ && !areas_.empty()) return {};
  std::vector<Mapping> all = TERN_TRY(parse_maps(text));
  chosen_ = choose_mappings(std::move(all), choice_);
  if (chosen_.mappings.empty() && first_) {
    return Error(ErrorCode::failed_precondition,
                 chosen_.unwanted > 0
                     ? "none of its " + std::to_string(chosen_.unwanted) +
                           " writable mappings is chosen (--min-region, --match, --regex)"
                     : "it has no writable mappings",
                 kNothingThere);
  }
  areas_.clear();
  PageRuns mapped;
  for (const Mapping& mapping : chosen_.mappings) {
    Area area{mapping, Area::Kind::own, nullptr};
    if (mapping.shared) find_file(area);
    areas_.push_back(std::move(area));
    mapped.add(mapping.start, mapping.end);
  }
  if (first_) first_mapped_ = mapped;
  remapped_bytes_ =
      (mapped.without(first_mapped_).pages() + first_mapped_.without(mapped).pages()) *
      kTargetPageBytes;
  first_ = false;
  maps_ = std::move(text);
  return {};
}

// Calls report(start, end) for runs of pages in the address range, ascending.
template <typename Report>
Result<void> ProcessMemory::find_now(Want want, uint64_t start, uint64_t end,
                                     Report&& report) noexcept {
  const MemoryRange range = range_of(start, end);
  Pagemap& pagemap = process_.pagemap();
  if (pagemap.can_scan() && want != Want::soft_dirty) {
    PageFilter filter{.all_of = kPagePresent, .none_of = kPageZeroPfn};
    if (want == Want::own) filter.none_of |= kPageFile;
    if (want == Want::swapped) filter = {.all_of = kPageSwapped};
    return pagemap.scan(range, filter, Pagemap::Protect::no, [&](uint64_t offset, uint64_t bytes) {
      report(start + offset, start + offset + bytes);
    });
  }
  const auto matches = [&](uint64_t entry) {
    const bool zeros = (entry & kFrame) == zero_frame_ && (entry & kPresent) != 0;
    if (want == Want::swapped) return (entry & kSwapped) != 0;
    if (want == Want::soft_dirty) {
      return (entry & kSoftDirty) != 0 && (entry & (kPresent | kSwapped)) != 0 && !zeros;
    }
    return (entry & kPresent) != 0 && !zeros && (want != Want::own || (entry & kFileOrShared) == 0);
  };
  std::vector<uint64_t> entries(std::min<uint64_t>(kEntries, range.bytes / kTargetPageBytes));
  for (uint64_t page = 0; page < range.bytes / kTargetPageBytes;) {
    const size_t wanted = std::min<uint64_t>(entries.size(), range.bytes / kTargetPageBytes - page);
    const size_t got =
        TERN_TRY(pagemap.read_entries(range, page, std::span(entries).first(wanted)));
    for (size_t i = 0; i < got; ++i) {
      if (!matches(entries[i])) continue;
      const size_t from = i;
      while (i < got && matches(entries[i])) ++i;
      report(start + (page + from) * kTargetPageBytes, start + (page + i) * kTargetPageBytes);
    }
    page += got;
  }
  return {};
}

// An address space that is gone says so in its own words: whether the process ended or started
// another program is what is asked for.
template <typename Report>
Result<void> ProcessMemory::find(Want want, uint64_t start, uint64_t end,
                                 Report&& report) noexcept {
  Result<void> found = find_now(want, start, end, report);
  if (!found && found.error().sys_errno() == ESRCH) TERN_TRY(process_.check());
  return found;
}

// Calls report(start, end) for what the file behind an area has.
template <typename Report>
Result<void> ProcessMemory::find_data(const Area& area, Report&& report) noexcept {
  const uint64_t base = area.mapping.offset;
  const uint64_t end = base + area.mapping.bytes();
  const auto address = [&](off_t offset) {
    return area.mapping.start + (std::min(static_cast<uint64_t>(offset), end) - base);
  };
  for (uint64_t at = base; at < end;) {
    const off_t data = ::lseek(area.file->get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) {
      return errno_error(ErrorCode::unsupported, "SEEK_DATA in " + area.mapping.name, errno);
    }
    if (static_cast<uint64_t>(data) >= end) return {};
    off_t hole = ::lseek(area.file->get(), data, SEEK_HOLE);
    if (hole < 0 && errno == ENXIO) return {};  // truncated meanwhile
    if (hole <= data) {
      return errno_error(ErrorCode::unsupported, "SEEK_HOLE in " + area.mapping.name, errno);
    }
    // The end of the file may be within a page.
    constexpr off_t kMask = kTargetPageBytes - 1;
    hole = (hole + kMask) & ~kMask;
    report(address(data & ~kMask), address(hole));
    at = static_cast<uint64_t>(hole);
  }
  return {};
}

Result<Census> ProcessMemory::census() noexcept {
  TERN_TRY(read_mappings());
  Census census;
  const Nanoseconds before = system_clock().now();
  for (const Area& area : areas_) {
    const Mapping& mapping = area.mapping;
    census.mapped_bytes += mapping.bytes();
    if (too_large(area)) {
      ++census.too_large;
      continue;
    }
    const auto add = [&](uint64_t start, uint64_t end) {
      census.populated.add(start, end);
      if (area.kind != Area::Kind::mapped) census.countable.add(start, end);
    };
    if (area.kind == Area::Kind::file) {
      TERN_TRY(find_data(area, add));
      continue;
    }
    const Want want = area.kind == Area::Kind::own ? Want::own : Want::mapped;
    TERN_TRY(find(want, mapping.start, mapping.end, add));
    TERN_TRY(find(Want::swapped, mapping.start, mapping.end,
                  [&](uint64_t start, uint64_t end) { census.swapped.add(start, end); }));
  }
  census.at = before + (system_clock().now() - before) / 2;
  // What was found in an address space that ended meanwhile is worth nothing.
  TERN_TRY(process_.check());
  return census;
}

Result<Census> ProcessMemory::soft_dirty_census() noexcept {
  TERN_TRY(read_mappings());
  Census census;
  const Nanoseconds before = system_clock().now();
  for (const Area& area : areas_) {
    census.mapped_bytes += area.mapping.bytes();
    if (area.mapping.bytes() > kLargestRead) {
      ++census.too_large;
      continue;
    }
    TERN_TRY(find(Want::soft_dirty, area.mapping.start, area.mapping.end,
                  [&](uint64_t start, uint64_t end) { census.populated.add(start, end); }));
  }
  census.countable = census.populated;
  census.at = before + (system_clock().now() - before) / 2;
  TERN_TRY(process_.check());
  return census;
}

ProcessLooker::ProcessLooker(ProcessMemory& memory, const PageRuns& pages) noexcept
    : memory_(memory), pages_(pages), buffer_(PageSample::kPartPages * size_t{kTargetPageBytes}) {}

Result<void> ProcessLooker::look(size_t /*block*/, std::span<const uint64_t> pages,
                                 std::span<PageLook> looks) noexcept {
  std::array<uint64_t, PageSample::kPartPages> addresses;
  for (size_t i = 0; i < pages.size(); ++i) addresses[i] = pages_.address(pages[i]);
  for (size_t done = 0; done < pages.size();) {
    const Area* area = memory_.area_at(addresses[done]);
    size_t end = done + 1;
    while (end < pages.size() && memory_.area_at(addresses[end]) == area) ++end;
    const auto part = std::span(addresses).subspan(done, end - done);
    const auto seen = looks.subspan(done, end - done);
    // An area that was unmapped meanwhile leaves its pages unseen.
    if (area != nullptr && area->kind == Area::Kind::file) {
      TERN_TRY(look_in_file(*area, part, seen));
    } else if (area != nullptr) {
      TERN_TRY(look_in(*area, part, seen));
    }
    done = end;
  }
  return {};
}

Result<void> ProcessLooker::look_in(const Area& area, std::span<const uint64_t> addresses,
                                    std::span<PageLook> looks) noexcept {
  // Only what is there now: reading a page that was swapped out or given back would bring it in.
  std::array<MemoryRange, PageSample::kPartPages> ranges;
  std::array<size_t, PageSample::kPartPages> which;
  size_t count = 0;
  size_t next = 0;
  const auto present = [&](uint64_t start, uint64_t end) {
    for (; next < addresses.size() && addresses[next] < end; ++next) {
      if (addresses[next] < start) continue;
      ranges[count] = range_of(addresses[next], addresses[next] + kTargetPageBytes);
      which[count++] = next;
    }
  };
  const auto want =
      area.kind == Area::Kind::own ? ProcessMemory::Want::own : ProcessMemory::Want::mapped;
  const uint64_t span = addresses.back() + kTargetPageBytes - addresses.front();
  if (span / kTargetPageBytes < 64 * addresses.size()) {
    TERN_TRY(memory_.find(want, addresses.front(), addresses.front() + span, present));
  } else {
    for (const uint64_t address : addresses) {
      uint64_t entry = 0;
      TERN_TRY(memory_.process_.pagemap().read_entries(
          range_of(address, address + kTargetPageBytes), 0, std::span(&entry, 1)));
      if ((entry & kPresent) != 0) present(address, address + kTargetPageBytes);
    }
  }
  // A page that cannot be read ends a copy: it stays unseen, and the copy goes on behind it.
  for (size_t done = 0; done < count;) {
    const size_t bytes =
        TERN_TRY(memory_.process_.copy(std::span(ranges).subspan(done, count - done), buffer_));
    const size_t whole = bytes / kTargetPageBytes;
    for (size_t i = 0; i < whole; ++i) {
      looks[which[done + i]] = {hash_page(buffer_.data() + i * kTargetPageBytes), true};
    }
    memory_.cost_.bytes_copied += bytes;
    memory_.cost_.pages_hashed += whole;
    done += whole + (done + whole < count ? 1 : 0);
  }
  return {};
}

Result<void> ProcessLooker::look_in_file(const Area& area, std::span<const uint64_t> addresses,
                                         std::span<PageLook> looks) noexcept {
  for (size_t i = 0; i < addresses.size(); ++i) {
    const uint64_t offset = area.mapping.offset + (addresses[i] - area.mapping.start);
    const ssize_t got =
        ::pread(area.file->get(), buffer_.data(), kTargetPageBytes, static_cast<off_t>(offset));
    if (got <= 0) continue;  // truncated meanwhile
    std::fill(buffer_.begin() + got, buffer_.begin() + kTargetPageBytes, std::byte{0});
    looks[i] = {hash_page(buffer_.data()), true};
    memory_.cost_.bytes_copied += static_cast<uint64_t>(got);
    ++memory_.cost_.pages_hashed;
  }
  return {};
}

}  // namespace tern::tool
