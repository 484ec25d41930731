// SPDX-License-Identifier: Apache-2.0
//
// Which way of write protection this kernel and our permissions allow. The ways themselves are
// wp_async and wp_sync.
//
// Both see what goes through THIS process's page tables: its threads, and system calls made on its
// behalf (read(2) into RAM). They do not see what goes around them: another process that maps the
// same file, pages pinned for DMA (VFIO, RDMA, registered I/O buffers), and guests under KVM, which
// write through page tables of their own. A KVM guest belongs to the KVM tracker; pinned pages must
// be told by mark().
#pragma once

#include <string>

#include "ram/dirty/uffd.h"
#include "tern/dirty_tracker.h"

namespace tern {

/// What was found at run time.
struct WriteProtectSupport {
  Uffd::Probe uffd;
  bool pagemap_scan = false;
};
WriteProtectSupport probe_write_protect() noexcept;

/// Pure: the mode to use (never automatic). Errors: unsupported, saying what is missing.
Result<WriteProtectMode> choose_write_protect_mode(WriteProtectMode wanted,
                                                   const WriteProtectSupport& support) noexcept;

/// What the kernel has for finding dirty and untouched pages, one line per feature, for logs and
/// bug reports.
std::string probe_report() noexcept;

}  // namespace tern
