// SPDX-License-Identifier: Apache-2.0
#include "tools/benchmark/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace tern::bench {
namespace {

double read_clock(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

void fail(const std::string& what) {
  std::fprintf(stderr, "tern-bench-memory: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

Mapping map_anonymous(uint64_t bytes, bool transparent_huge_pages) {
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) fail("mapping memory");
  // A kernel without huge pages has small ones, whatever it is told.
  ::madvise(start, bytes, transparent_huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return {static_cast<std::byte*>(start), bytes};
}

Mapping map_file(const std::string& path, uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) fail(path);
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (start == MAP_FAILED) fail("mapping " + path);
  return {static_cast<std::byte*>(start), bytes};
}

void populate(const Mapping& mapping) {
  if (::madvise(mapping.start, mapping.bytes, MADV_POPULATE_WRITE) != 0) fail("prefaulting");
}

std::vector<Extent> data_extents(const std::string& path, uint64_t bytes, uint64_t piece) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  std::vector<Extent> extents;
  off_t at = 0;
  while (bytes > 0 && (at = ::lseek(fd, at, SEEK_DATA)) >= 0) {
    const off_t end = ::lseek(fd, at, SEEK_HOLE);
    if (end < 0) fail("looking for holes in " + path);
    while (at < end && bytes > 0) {
      const uint64_t n = std::min({piece, bytes, static_cast<uint64_t>(end - at)});
      extents.push_back({static_cast<uint64_t>(at), n});
      at += static_cast<off_t>(n);
      bytes -= n;
    }
  }
  ::close(fd);
  if (bytes > 0) {
    errno = ENODATA;
    fail(path + " has less data than is to be sent");
  }
  return extents;
}

double cpu_seconds() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }
double now() { return read_clock(CLOCK_MONOTONIC); }

}  // namespace tern::bench
