// SPDX-License-Identifier: Apache-2.0
//
// The guest's RAM as the VMM maps it: anonymous, memfd or file, with small or huge pages. Owns
// mappings and descriptors; knows nothing of guests.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/ram_block.h"
#include "tern/result.h"
#include "tools/vmm/fd.h"

namespace tern::vmm {

enum class RamBackend { anon, memfd, file };

struct RamOptions {
  uint64_t bytes = 128ull << 20;  ///< a multiple of the page size
  RamBackend backend = RamBackend::anon;
  std::string path;              ///< file backend
  bool share = true;             ///< file backend: false maps it privately
  uint64_t huge_page_bytes = 0;  ///< 0 = small pages; 2 MiB is the only other
  /// Small pages that the kernel may make 2 MiB ones (MADV_HUGEPAGE), as QEMU asks for its RAM.
  bool transparent_huge_pages = false;
  bool prefault = false;  ///< every page is there before the machine is, as QEMU's prealloc=on
  std::string idstr = "pc.ram";
  /// RAM from here on moves to 4 GiB, as a block of its own named IDSTR-high (0 = never): a PC has
  /// a hole for devices below 4 GiB, and one block has one guest-physical address.
  uint64_t hole_start = 0;
};

inline constexpr uint64_t kHighRamGpa = 4ull << 30;
inline constexpr uint64_t kHugePageBytes = 2ull << 20;

/// Maps, owns and unmaps. Movable; the blocks' memory stays where it is.
class Ram {
 public:
  /// Errors: invalid_argument (size, path), resource_exhausted (no memory, no huge pages),
  /// unsupported (by this kernel). A file is created and extended as needed, never shortened, its
  /// content is kept.
  static Result<Ram> create(const RamOptions& options) noexcept;
  Ram(Ram&&) noexcept;
  Ram& operator=(Ram&&) = delete;
  ~Ram();

  /// In the order of guest-physical addresses.
  std::span<const RamBlock> blocks() const noexcept { return blocks_; }

 private:
  Ram() noexcept = default;
  UniqueFd fd_;
  std::byte* base_ = nullptr;
  uint64_t bytes_ = 0;
  std::vector<RamBlock> blocks_;
};

}  // namespace tern::vmm
