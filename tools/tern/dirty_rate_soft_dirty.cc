// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_soft_dirty.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "tern/ram_block.h"

namespace tern::tool {
namespace {

Result<Fd> open_clear_refs(Process& process) noexcept {
  Fd fd(::openat(process.directory(), "clear_refs", O_WRONLY | O_CLOEXEC));
  if (fd) return fd;
  const int error = errno;
  TERN_TRY(process.check());
  return Error(ErrorCode::failed_precondition,
               std::string("may not write clear_refs of the process: ") + std::strerror(error),
               error == EACCES || error == EPERM ? kNotPermitted : error);
}

}  // namespace

bool kernel_has_soft_dirty() noexcept {
  // A page of a mapping that was just made counts as written.
  void* page =
      ::mmap(nullptr, kTargetPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  std::memset(page, 1, kTargetPageBytes);
  uint64_t entry = 0;
  if (const Result<Pagemap> pagemap = Pagemap::open()) {
    pagemap
        ->read_entries({static_cast<std::byte*>(page), kTargetPageBytes}, 0, std::span(&entry, 1))
        .ignore("no bits then");
  }
  ::munmap(page, kTargetPageBytes);
  return (entry >> 55 & 1) != 0;
}

uint64_t huge_bytes(std::string_view smaps_rollup) noexcept {
  uint64_t kib = 0;
  for (const std::string_view name :
       {"\nAnonHugePages:", "\nShmemPmdMapped:", "\nFilePmdMapped:"}) {
    const size_t at = smaps_rollup.find(name);
    if (at == smaps_rollup.npos) continue;
    std::string_view value = smaps_rollup.substr(at + name.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    uint64_t one = 0;
    std::from_chars(value.data(), value.data() + value.size(), one);
    kib += std::min<uint64_t>(one, uint64_t{1} << 40);
  }
  return kib * 1024;
}

Result<void> may_clear_soft_dirty(Process& process) noexcept {
  TERN_TRY(open_clear_refs(process));
  return {};
}

Result<Nanoseconds> clear_soft_dirty(Process& process) noexcept {
  const Fd fd = TERN_TRY(open_clear_refs(process));
  const Nanoseconds before = system_clock().now();
  ssize_t written;
  do {
    written = ::write(fd.get(), "4\n", 2);
  } while (written < 0 && errno == EINTR);
  if (written < 0) {
    const int error = errno;
    TERN_TRY(process.check());
    return errno_error(ErrorCode::unsupported, "clearing the soft-dirty bits", error);
  }
  return system_clock().now() - before;
}

}  // namespace tern::tool
