// SPDX-License-Identifier: Apache-2.0
//
// Pagemap: /proc/self/pagemap or another process's, by the PAGEMAP_SCAN ioctl (Linux 6.7) and by
// reading it. Tells what the page tables say; touches no page of the memory it is asked about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.h"
#include "ram/dirty/uffd.h"
#include "tern/result.h"

namespace tern {

/// Categories of PAGEMAP_SCAN (kernel ABI, younger than Debian 12's headers).
enum PageCategory : uint64_t {
  kPageWpAllowed = 1 << 0,
  kPageWritten = 1 << 1,  ///< not write-protected by userfaultfd; a page table entry that is empty
                          ///< counts as written
  kPageFile = 1 << 2,
  kPagePresent = 1 << 3,
  kPageSwapped = 1 << 4,  ///< also the marker that keeps an empty entry write-protected
  kPageZeroPfn = 1 << 5,
  kPageHuge = 1 << 6,
};

/// A page matches if it has all of `all_of`, none of `none_of` and, unless `any_of` is 0, one of
/// `any_of`.
struct PageFilter {
  uint64_t all_of = 0;
  uint64_t any_of = 0;
  uint64_t none_of = 0;
};

/// One thread at a time.
class Pagemap {
 public:
  /// The kernel's struct page_region.
  struct Region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
  };

  static Result<Pagemap> open() noexcept;
  /// Of the process whose directory in /proc this descriptor is. Addresses are that process's; when
  /// it ends or starts another program, the pages of what it was are gone. Errors carry errno.
  static Result<Pagemap> open_at(int proc_directory) noexcept;

  /// Whether this kernel has PAGEMAP_SCAN.
  bool can_scan() const noexcept { return can_scan_; }

  enum class Protect : bool { no, yes };
  /// Calls report(first_byte, bytes) (offsets in `range`) for every run that matches. Protect::yes
  /// write-protects exactly what it reports, in one step with looking; the range must then be
  /// registered with an asynchronous userfaultfd, otherwise EPERM (part of the range may have been
  /// reported by then).
  template <typename Report>
  Result<void> scan(MemoryRange range, PageFilter filter, Protect protect,
                    Report&& report) noexcept {
    const uint64_t base = reinterpret_cast<uintptr_t>(range.start);
    for (uint64_t done = 0; done < range.bytes;) {
      const Step step = TERN_TRY(scan_step(range, done, filter, protect));
      for (const Region& region : step.regions)
        report(region.start - base, region.end - region.start);
      done = step.walked;
    }
    return {};
  }

  /// Entries of /proc/self/pagemap for the 4 KiB pages of a range, read in pieces: bit 63 present,
  /// bit 62 swapped. Fills `entries` from page `first_page` on; returns how many (at least 1).
  /// Errors: unsupported; sys_errno is ESRCH if the address space is gone.
  Result<size_t> read_entries(MemoryRange range, uint64_t first_page,
                              std::span<uint64_t> entries) const noexcept;

 private:
  explicit Pagemap(Fd fd) noexcept;
  struct Step {
    std::span<const Region> regions;
    uint64_t walked;
  };
  Result<Step> scan_step(MemoryRange range, uint64_t from, PageFilter filter,
                         Protect protect) noexcept;

  Fd fd_;
  bool can_scan_ = false;
  std::vector<Region> regions_;
};

}  // namespace tern
