// SPDX-License-Identifier: Apache-2.0
//
// A piece of guest RAM that migrates: QEMU's RAMBlock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tern {

/// The page that the stream counts in (QEMU's target page). 4096 on x86.
inline constexpr uint32_t kTargetPageBytes = 4096;

/// The memory must stay mapped, readable and writable while a migration uses it.
struct RamBlock {
  /// Name on the wire, 1..255 bytes, unique in the machine ("pc.ram"; "m" for a QEMU started with
  /// `-machine none,memory-backend=m`).
  std::string idstr;
  /// Host address, aligned to kTargetPageBytes.
  std::byte* host = nullptr;
  /// Length now, in bytes; a multiple of kTargetPageBytes, not 0.
  uint64_t used_bytes = 0;
  /// Length a destination may resize it to; 0 means "not resizable", the same as used_bytes.
  uint64_t max_bytes = 0;
  /// Guest-physical address of the first byte; what the KVM dirty log and pmemsave go by.
  uint64_t gpa = 0;
  /// Host page size behind the block (4096, 2 MiB for huge pages).
  uint32_t page_bytes = kTargetPageBytes;
  /// Descriptor behind a shared mapping (memfd, file), -1 for anonymous memory. Lets tern find
  /// holes that were never written. Not owned.
  int fd = -1;
  /// Offset of `host` in `fd`.
  uint64_t fd_offset = 0;
  /// true: MAP_SHARED (what another process writes to fd is seen); false: MAP_PRIVATE or anonymous.
  bool shared = false;
};

}  // namespace tern
