// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/pagemap.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tern/ram_block.h"

namespace tern {
namespace {

/// struct pm_scan_arg of the kernel, all members 64 bits wide.
struct ScanArgument {
  uint64_t size = sizeof(ScanArgument);
  uint64_t flags = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t walk_end = 0;  ///< out: where the kernel stopped
  uint64_t vec = 0;
  uint64_t vec_len = 0;
  uint64_t max_pages = 0;
  uint64_t category_inverted = 0;
  uint64_t category_mask = 0;
  uint64_t category_anyof_mask = 0;
  uint64_t return_mask = 0;
};
static_assert(sizeof(ScanArgument) == 96);

constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);
constexpr uint64_t kScanWpMatching = 1 << 0;
constexpr uint64_t kScanCheckWpAsync = 1 << 1;

/// Room for results of one call: 192 KiB. More calls are cheap, the walk goes on where it stopped.
constexpr size_t kRegions = 8192;
/// One call walks at most this much, so that mmap and munmap of the process never wait long.
constexpr uint64_t kScanBytes = uint64_t{64} << 30;

}  // namespace

Pagemap::Pagemap(Fd fd) noexcept : fd_(std::move(fd)) {
  // An empty range asks for nothing: 0 where the call exists, ENOTTY before Linux 6.7.
  ScanArgument argument;
  argument.category_anyof_mask = kPagePresent;
  can_scan_ = ::ioctl(fd_.get(), kPagemapScan, &argument) == 0;
  if (can_scan_) regions_.resize(kRegions);
}

Result<Pagemap> Pagemap::open() noexcept {
  Fd fd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(ErrorCode::unsupported, "/proc/self/pagemap", errno);
  return Pagemap(std::move(fd));
}

Result<Pagemap> Pagemap::open_at(int proc_directory) noexcept {
  Fd fd(::openat(proc_directory, "pagemap", O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(ErrorCode::unsupported, "the process's pagemap", errno);
  return Pagemap(std::move(fd));
}

Result<Pagemap::Step> Pagemap::scan_step(MemoryRange range, uint64_t from, PageFilter filter,
                                         Protect protect) noexcept {
  if (!can_scan_) return errno_error(ErrorCode::unsupported, "PAGEMAP_SCAN", ENOTTY);
  const uint64_t base = reinterpret_cast<uintptr_t>(range.start);
  ScanArgument argument;
  argument.flags = protect == Protect::yes ? kScanWpMatching | kScanCheckWpAsync : 0;
  argument.start = base + from;
  argument.end = base + std::min(range.bytes, from + kScanBytes);
  argument.vec = reinterpret_cast<uintptr_t>(regions_.data());
  argument.vec_len = regions_.size();
  argument.category_mask = filter.all_of | filter.none_of;
  argument.category_inverted = filter.none_of;
  argument.category_anyof_mask = filter.any_of;
  // Nothing but what the filter implies: regions that differ in other ways come as one.
  argument.return_mask = filter.all_of != 0 ? filter.all_of : kPageWpAllowed;
  // EINTR (only a fatal signal causes it) is an error as any other: what was protected before it is
  // not reported.
  const int count = ::ioctl(fd_.get(), kPagemapScan, &argument);
  if (count < 0) {
    const int error = errno;
    return errno_error(error == ENOMEM ? ErrorCode::resource_exhausted : ErrorCode::unsupported,
                       "PAGEMAP_SCAN", error);
  }
  if (argument.walk_end <= argument.start || argument.walk_end > argument.end ||
      static_cast<size_t>(count) > regions_.size()) {
    return Error(ErrorCode::internal, "PAGEMAP_SCAN made no progress");
  }
  return Step{std::span(regions_).first(static_cast<size_t>(count)), argument.walk_end - base};
}

Result<size_t> Pagemap::read_entries(MemoryRange range, uint64_t first_page,
                                     std::span<uint64_t> entries) const noexcept {
  const uint64_t page = reinterpret_cast<uintptr_t>(range.start) / kTargetPageBytes + first_page;
  ssize_t got;
  do {
    got = ::pread(fd_.get(), entries.data(), entries.size_bytes(),
                  static_cast<off_t>(page * sizeof(uint64_t)));
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno_error(ErrorCode::unsupported, "reading the pagemap", errno);
  const size_t count = static_cast<size_t>(got) / sizeof(uint64_t);
  if (count == 0) return errno_error(ErrorCode::unsupported, "the pagemap ended early", ESRCH);
  return count;
}

}  // namespace tern
