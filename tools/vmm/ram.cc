// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/ram.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <fstream>

namespace tern::vmm {
namespace {

/// A guest of 16 TiB is larger than any host this runs on; keeps sums far from wrapping.
constexpr uint64_t kMaxRamBytes = 16ull << 40;

/// log2 of the page size where mmap and memfd_create want it.
constexpr unsigned kHuge2M = 21U << MAP_HUGE_SHIFT;
static_assert(kHugePageBytes == 1ull << 21);

/// "HugePages_Free:" and such from /proc/meminfo; 0 when it is not there.
uint64_t meminfo(std::string_view key) noexcept {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    if (word != key) continue;
    uint64_t value = 0;
    file >> value;
    return value;
  }
  return 0;
}

Error map_error(const RamOptions& options, uint64_t page_bytes, int err) noexcept {
  if (page_bytes == kTargetPageBytes) {
    return errno_error(ErrorCode::resource_exhausted,
                       "mapping " + std::to_string(options.bytes) + " bytes of RAM", err);
  }
  const uint64_t needed = options.bytes / page_bytes;
  return errno_error(ErrorCode::resource_exhausted,
                     "mapping " + std::to_string(needed) + " huge pages of RAM (" +
                         std::to_string(meminfo("HugePages_Free:")) + " are free; as root: echo " +
                         std::to_string(needed) + " > /proc/sys/vm/nr_hugepages)",
                     err);
}

struct Backing {
  UniqueFd fd;
  uint64_t page_bytes = kTargetPageBytes;
};

Result<Backing> open_memfd(const RamOptions& options) noexcept {
  Backing backing;
  unsigned flags = MFD_CLOEXEC;
  if (options.huge_page_bytes != 0) {
    flags |= MFD_HUGETLB | kHuge2M;
    backing.page_bytes = options.huge_page_bytes;
  }
  backing.fd = UniqueFd(::memfd_create("tern-ram", flags));
  if (!backing.fd) return errno_error(ErrorCode::unsupported, "memfd_create", errno);
  if (::ftruncate(backing.fd.get(), static_cast<off_t>(options.bytes)) != 0) {
    return errno_error(ErrorCode::resource_exhausted, "sizing the memfd", errno);
  }
  return backing;
}

Result<Backing> open_file(const RamOptions& options) noexcept {
  Backing backing;
  backing.fd = UniqueFd(::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct stat status {};
  struct statfs system {};
  if (!backing.fd || ::fstat(backing.fd.get(), &status) != 0 ||
      ::fstatfs(backing.fd.get(), &system) != 0) {
    return errno_error(ErrorCode::invalid_argument, options.path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error(ErrorCode::invalid_argument, options.path + ": not a regular file");
  }
  // The mount decides over the page size of a file, whatever the option says.
  if (system.f_type == HUGETLBFS_MAGIC) backing.page_bytes = static_cast<uint64_t>(system.f_bsize);
  if (options.huge_page_bytes != 0 && options.huge_page_bytes != backing.page_bytes) {
    return Error(ErrorCode::invalid_argument,
                 options.path + ": --huge needs a file on a hugetlbfs mount with that page size");
  }
  const auto wanted = static_cast<off_t>(options.bytes);
  if (status.st_size < wanted && ::ftruncate(backing.fd.get(), wanted) != 0) {
    return errno_error(ErrorCode::resource_exhausted, "extending " + options.path, errno);
  }
  return backing;
}

Result<Backing> open_backing(const RamOptions& options) noexcept {
  switch (options.backend) {
    case RamBackend::memfd:
      return open_memfd(options);
    case RamBackend::file:
      return open_file(options);
    case RamBackend::anon:
      break;
  }
  Backing backing;
  if (options.huge_page_bytes != 0) backing.page_bytes = options.huge_page_bytes;
  return backing;
}

int map_flags(const RamOptions& options) noexcept {
  if (options.backend == RamBackend::memfd) return MAP_SHARED;
  if (options.backend == RamBackend::file) return options.share ? MAP_SHARED : MAP_PRIVATE;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  // Huge pages are reserved here and now: without a reserve the guest would die of a SIGBUS later.
  if (options.huge_page_bytes != 0) return flags | MAP_HUGETLB | static_cast<int>(kHuge2M);
  return flags | MAP_NORESERVE;
}

Result<void> advise(void* memory, const RamOptions& options) noexcept {
  if (options.transparent_huge_pages && ::madvise(memory, options.bytes, MADV_HUGEPAGE) != 0) {
    return errno_error(ErrorCode::unsupported, "transparent huge pages for RAM", errno);
  }
  // After the advice, so that what is there now has that page size. Writes nothing: a file keeps
  // its content.
  if (options.prefault && ::madvise(memory, options.bytes, MADV_POPULATE_WRITE) != 0) {
    const int err = errno;
    return errno_error(err == EINVAL ? ErrorCode::unsupported : ErrorCode::resource_exhausted,
                       "prefaulting " + std::to_string(options.bytes) + " bytes of RAM", err);
  }
  return {};
}

Result<void> check(const RamOptions& options) noexcept {
  if (options.huge_page_bytes != 0 && options.huge_page_bytes != kHugePageBytes) {
    return Error(ErrorCode::invalid_argument, "huge pages of 2M are the only ones");
  }
  if (options.bytes == 0 || options.bytes > kMaxRamBytes) {
    return Error(ErrorCode::invalid_argument, "RAM size must be 4K..16T");
  }
  if (options.idstr.empty() || options.idstr.size() > 250) {
    return Error(ErrorCode::invalid_argument, "the RAM id must have 1..250 bytes");
  }
  return {};
}

}  // namespace

Result<Ram> Ram::create(const RamOptions& options) noexcept {
  TERN_TRY(check(options));
  Backing backing = TERN_TRY(open_backing(options));
  if (options.bytes % backing.page_bytes != 0) {
    return Error(ErrorCode::invalid_argument, "RAM size must be a multiple of the page size, " +
                                                  std::to_string(backing.page_bytes) + " bytes");
  }
  void* memory = ::mmap(nullptr, options.bytes, PROT_READ | PROT_WRITE, map_flags(options),
                        backing.fd.get(), 0);
  if (memory == MAP_FAILED) return map_error(options, backing.page_bytes, errno);

  Ram ram;
  ram.fd_ = std::move(backing.fd);
  ram.base_ = static_cast<std::byte*>(memory);
  ram.bytes_ = options.bytes;
  TERN_TRY(advise(memory, options));
  RamBlock block;
  block.idstr = options.idstr;
  block.host = ram.base_;
  block.page_bytes = static_cast<uint32_t>(backing.page_bytes);
  block.fd = ram.fd_.get();
  block.shared = (map_flags(options) & MAP_SHARED) != 0;
  const bool split = options.hole_start != 0 && options.bytes > options.hole_start;
  block.used_bytes = split ? options.hole_start : options.bytes;
  ram.blocks_.push_back(block);
  if (split) {
    block.idstr += "-high";
    block.host += options.hole_start;
    block.fd_offset = options.hole_start;
    block.gpa = kHighRamGpa;
    block.used_bytes = options.bytes - options.hole_start;
    ram.blocks_.push_back(block);
  }
  return ram;
}

Ram::Ram(Ram&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      bytes_(other.bytes_),
      blocks_(std::move(other.blocks_)) {}

Ram::~Ram() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

}  // namespace tern::vmm
