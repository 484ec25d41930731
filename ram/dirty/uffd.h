// SPDX-License-Identifier: Apache-2.0
//
// Uffd: one userfaultfd, its calls as Results. Knows the kernel's interface, not what faults are
// used for: write tracking is one use, placing pages that arrive late is another.
#pragma once

#include <linux/userfaultfd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "tern/result.h"

namespace tern {

// Kernel ABI younger than Debian 12's headers (Linux 6.4 and 6.7).
inline constexpr uint64_t kUffdFeatureWpUnpopulated = uint64_t{1} << 13;
inline constexpr uint64_t kUffdFeatureWpAsync = uint64_t{1} << 15;

/// A piece of this process's memory, whole pages.
struct MemoryRange {
  std::byte* start = nullptr;
  uint64_t bytes = 0;
};

/// Thread rules: all calls may be made from several threads at once; moving and destroying may not.
class Uffd {
 public:
  /// What kernel and permissions give; empty features if `error` says why there is no userfaultfd
  /// at all.
  struct Probe {
    uint64_t features = 0;
    bool user_mode_only = false;
    std::string
        how;  ///< "userfaultfd(2)", "/dev/userfaultfd", "userfaultfd(2), user-mode faults only"
    std::string error;  ///< empty if one could be opened
  };
  static Probe probe() noexcept;

  /// Opens one with exactly these features. Tries, in order, the system call, /dev/userfaultfd, and
  /// the system call restricted to faults from user mode. Errors: unsupported.
  static Result<Uffd> open(uint64_t features) noexcept;

  int fd() const noexcept { return fd_.get(); }
  /// true: a fault inside a system call (read(2) into such memory) is not delivered, the call fails
  /// with EFAULT.
  bool user_mode_only() const noexcept { return user_mode_only_; }

  /// mode: UFFDIO_REGISTER_MODE_*. Returns the mask of range ioctls. Errors carry errno: EINVAL
  /// when the kernel cannot do that for this kind of mapping, EBUSY when another userfaultfd has
  /// the range.
  Result<uint64_t> add(MemoryRange range, uint64_t mode) const noexcept;
  /// Forgets the range and lifts the protection from it. Threads that wait for it go on.
  Result<void> remove(MemoryRange range) const noexcept;
  /// Write-protects pages, or makes them writable and wakes those who wait. Long ranges are done in
  /// pieces, so that nobody waits long for the address space.
  Result<void> write_protect(MemoryRange range, bool on) const noexcept;
  /// Maps zeros where nothing is, writable, and wakes those who wait. Pages that are already there
  /// are left alone.
  Result<void> zero_page(MemoryRange range) const noexcept;
  /// The same for memory the kernel has no page of zeros for (huge pages): copies from `source`,
  /// range.bytes long.
  Result<void> copy(MemoryRange range, const std::byte* source) const noexcept;
  Result<void> wake(MemoryRange range) const noexcept;

 private:
  Uffd(Fd fd, bool user_mode_only) noexcept : fd_(std::move(fd)), user_mode_only_(user_mode_only) {}
  /// Calls fill(rest), which returns bytes done and errno (0 for all), until the range is full.
  template <typename Fill>
  Result<void> fill_missing(const char* what, MemoryRange range, Fill&& fill) const noexcept;
  static Result<Uffd> open_any(std::string& how) noexcept;

  Fd fd_;
  bool user_mode_only_ = false;
};

}  // namespace tern
