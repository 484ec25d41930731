// SPDX-License-Identifier: Apache-2.0
//
// The VMM's own hand in guest memory, by guest-physical address: qtest, the loader, device
// emulation. Every write is told to the dirty tracker, and none happens while a migration takes its
// last look.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

#include "tern/dirty_tracker.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern::vmm {

/// Thread-safe. The blocks' memory and the tracker outlive it.
class GuestMemory {
 public:
  explicit GuestMemory(std::span<const RamBlock> blocks) noexcept : blocks_(blocks) {}

  /// Who is told of writes; nullptr: nobody. Without it the guest must not be migrating.
  void set_tracker(DirtyTracker* tracker) noexcept;

  /// Is [gpa, gpa + bytes) all RAM? Errors: invalid_argument, naming the first address that is not.
  Result<void> check(uint64_t gpa, uint64_t bytes) const noexcept;
  Result<void> read(uint64_t gpa, std::span<std::byte> into) const noexcept;
  /// Waits while writes are held. Errors: invalid_argument (nothing is written), cancelled (the VMM
  /// ends).
  Result<void> write(uint64_t gpa, std::span<const std::byte> bytes) noexcept;
  Result<void> fill(uint64_t gpa, uint64_t bytes, std::byte value) noexcept;

  /// While held no write happens; returns when those under way are done and told. Between the stop
  /// of the vCPUs and the handover a write would be lost on one side or the other.
  void hold_writes(bool hold) noexcept;
  /// Makes writes that wait, and all later ones, fail: the VMM ends.
  void close() noexcept;

 private:
  struct Place {
    size_t block = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;  ///< contiguous from here, 0 = no RAM
  };
  Place find(uint64_t gpa) const noexcept;
  template <typename Copy>
  Result<void> change(uint64_t gpa, uint64_t bytes, Copy copy) noexcept;

  std::span<const RamBlock> blocks_;
  std::mutex mutex_;  ///< held during a write and its mark
  std::condition_variable changed_;
  bool held_ = false;
  bool closed_ = false;
  DirtyTracker* tracker_ = nullptr;
};

}  // namespace tern::vmm
