// SPDX-License-Identifier: Apache-2.0
//
// Real memory for tracker tests: mappings of every kind, a thread that writes them at full speed,
// and a shadow copy that is kept up to date from harvests alone. Knows no tracker in particular.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tern/dirty_tracker.h"

namespace tern::test {

inline constexpr uint64_t kPage = kTargetPageBytes;
inline constexpr uint64_t kHuge = uint64_t{2} << 20;

enum class Backing {
  anonymous,
  anonymous_thp,
  shared_anonymous,
  memfd,
  huge_private,
  huge_shared,
  private_memfd,
  private_file
};

inline const char* name_of(Backing backing) {
  switch (backing) {
    case Backing::anonymous:
      return "anonymous";
    case Backing::anonymous_thp:
      return "anonymous_thp";
    case Backing::shared_anonymous:
      return "shared_anonymous";
    case Backing::memfd:
      return "memfd";
    case Backing::huge_private:
      return "huge_private";
    case Backing::huge_shared:
      return "huge_shared";
    case Backing::private_memfd:
      return "private_memfd";
    case Backing::private_file:
      return "private_file";
  }
  return "?";
}

/// A file without a name, on a disk if there is one.
inline Fd temporary_file() {
  for (std::string path : {"/var/tmp/tern-XXXXXX", "/tmp/tern-XXXXXX", "./tern-XXXXXX"}) {
    Fd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (!fd) continue;
    ::unlink(path.c_str());
    return fd;
  }
  return {};
}

/// tmpfs counts as shared memory with the kernel, even when it is mapped privately.
inline bool is_tmpfs(int fd) {
  struct statfs about {};
  return ::fstatfs(fd, &about) == 0 && about.f_type == TMPFS_MAGIC;
}

/// A mapping as a RamBlock. ram().host is nullptr if the machine has none of that kind (no huge
/// pages).
class TestRam {
 public:
  TestRam(Backing backing, uint64_t pages, std::string idstr = "ram") {
    block_.idstr = std::move(idstr);
    block_.used_bytes = pages * kPage;
    const bool huge = backing == Backing::huge_private || backing == Backing::huge_shared;
    if (huge) block_.page_bytes = kHuge;
    block_.shared = backing == Backing::shared_anonymous || backing == Backing::memfd ||
                    backing == Backing::huge_shared;
    if (backing == Backing::memfd || backing == Backing::private_memfd) {
      fd_ = Fd(::memfd_create("tern-test", MFD_CLOEXEC));
    }
    if (backing == Backing::huge_shared) {
      fd_ = Fd(::memfd_create("tern-test", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
    }
    if (backing == Backing::private_file) fd_ = temporary_file();
    if (fd_) {
      EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(block_.used_bytes)), 0);
    }
    block_.fd = fd_.get();
    int flags = block_.shared ? MAP_SHARED : MAP_PRIVATE;
    if (!fd_) flags |= MAP_ANONYMOUS;
    if (backing == Backing::huge_private) flags |= MAP_HUGETLB;
    // 2 MiB more than needed, so that it can begin at a 2 MiB boundary.
    const uint64_t slack = huge ? 0 : kHuge;
    mapped_bytes_ = block_.used_bytes + slack;
    mapped_ = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, flags, fd_.get(), 0);
    if (mapped_ == MAP_FAILED) return;
    auto* start = static_cast<std::byte*>(mapped_);
    if (!huge && !fd_) start += (kHuge - reinterpret_cast<uintptr_t>(start) % kHuge) % kHuge;
    block_.host = start;
    if (backing == Backing::anonymous_thp) ::madvise(start, block_.used_bytes, MADV_HUGEPAGE);
    if (backing == Backing::anonymous) ::madvise(start, block_.used_bytes, MADV_NOHUGEPAGE);
  }
  TestRam(const TestRam&) = delete;
  TestRam& operator=(const TestRam&) = delete;
  ~TestRam() {
    if (mapped_ != MAP_FAILED) ::munmap(mapped_, mapped_bytes_);
  }

  const RamBlock& block() const { return block_; }
  RamBlock& block() { return block_; }
  std::span<const RamBlock> blocks() const { return {&block_, 1}; }
  uint64_t pages() const { return block_.used_bytes / kPage; }
  std::byte* page(uint64_t index) const { return block_.host + index * kPage; }

  /// As a guest would: atomically, so that a concurrent copy is no data race.
  void write(uint64_t page_index, uint64_t value, uint64_t word = 0) const {
    auto* p = reinterpret_cast<uint64_t*>(page(page_index)) + word;
    std::atomic_ref<uint64_t>(*p).store(value, std::memory_order_relaxed);
  }
  uint64_t read(uint64_t page_index, uint64_t word = 0) const {
    auto* p = reinterpret_cast<uint64_t*>(page(page_index)) + word;
    return std::atomic_ref<uint64_t>(*p).load(std::memory_order_relaxed);
  }
  void write_all(uint64_t value) const {
    for (uint64_t i = 0; i < pages(); ++i) write(i, value);
  }

 private:
  RamBlock block_;
  Fd fd_;
  void* mapped_ = MAP_FAILED;
  uint64_t mapped_bytes_ = 0;
};

/// Gives the system huge pages for the time of a test, if it has none and lets us.
class HugePages {
 public:
  explicit HugePages(long want) {
    std::ifstream(kPath) >> before_;
    std::ofstream(kPath) << before_ + want;
  }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages() { std::ofstream(kPath) << before_; }

 private:
  static constexpr const char* kPath = "/proc/sys/vm/nr_hugepages";
  long before_ = 0;
};

inline std::vector<uint64_t> dirty_pages(const BlockBitmap& map) {
  std::vector<uint64_t> pages;
  for (PageRun run = map.next_run(0, map.pages()); run.count != 0;
       run = map.next_run(run.first + run.count, map.pages())) {
    for (uint64_t i = 0; i < run.count; ++i) pages.push_back(run.first + i);
  }
  return pages;
}

/// What one harvest reports for block 0.
inline std::vector<uint64_t> harvest_pages(DirtyTracker& tracker,
                                           std::span<const RamBlock> blocks) {
  DirtyBitmap map(blocks);
  Result<uint64_t> added = tracker.harvest(map);
  EXPECT_TRUE(added) << added.error().message();
  if (added) {
    EXPECT_EQ(*added, map.count());
  }
  return dirty_pages(map.block(0));
}

/// run_service on a thread, where the tracker needs one.
class Service {
 public:
  explicit Service(DirtyTracker& tracker) {
    if (!tracker.needs_service()) return;
    thread_ = std::jthread([this, &tracker](std::stop_token stop) {
      Result<void> served = tracker.run_service(stop);
      if (!served) error_ = served.error().message();
    });
  }
  /// Ends it; "" or the error it ended with.
  std::string end() {
    if (!thread_.joinable()) return {};
    thread_.request_stop();
    thread_.join();
    return error_;
  }

 private:
  std::string error_;
  std::jthread thread_;
};

/// Writes random words of random pages as fast as it can, until ended.
class Writer {
 public:
  Writer(const TestRam& ram, uint64_t seed) : ram_(ram) {
    thread_ = std::jthread([this, seed](const std::stop_token& stop) {
      std::mt19937_64 random(seed);
      while (!stop.stop_requested()) {
        const uint64_t r = random();
        ram_.write(r % ram_.pages(), r, r >> 32 & 511);
        writes_.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  uint64_t end() {
    thread_.request_stop();
    thread_.join();
    return writes_.load();
  }
  uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }

 private:
  const TestRam& ram_;
  std::atomic<uint64_t> writes_{0};
  std::jthread thread_;
};

/// A copy of RAM that learns of changes from harvests only, as a migration destination does.
class Shadow {
 public:
  explicit Shadow(const TestRam& ram) : ram_(ram), words_(ram.pages() * 512), map_(ram.blocks()) {
    for (uint64_t i = 0; i < ram.pages(); ++i) copy(i);
  }
  /// Harvests, then copies what was reported. Returns the number of pages.
  uint64_t update(DirtyTracker& tracker) {
    Result<uint64_t> added = tracker.harvest(map_);
    EXPECT_TRUE(added) << added.error().message();
    const std::vector<uint64_t> pages = dirty_pages(map_.block(0));
    for (uint64_t page : pages) copy(page);
    map_.block(0).clear_run({0, ram_.pages()});
    return pages.size();
  }
  /// Pages whose content is not what we have.
  std::vector<uint64_t> stale() const {
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < ram_.pages(); ++i) {
      if (std::memcmp(&words_[i * 512], ram_.page(i), kPage) != 0) pages.push_back(i);
    }
    return pages;
  }

 private:
  void copy(uint64_t page) {
    for (uint64_t w = 0; w < 512; ++w) words_[page * 512 + w] = ram_.read(page, w);
  }
  const TestRam& ram_;
  std::vector<uint64_t> words_;
  DirtyBitmap map_;
};

}  // namespace tern::test
