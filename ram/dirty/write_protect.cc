// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/write_protect.h"

#include <memory>
#include <string_view>
#include <utility>

#include "ram/dirty/pagemap.h"
#include "ram/dirty/wp_async.h"
#include "ram/dirty/wp_sync.h"

namespace tern {
namespace {

/// What asynchronous mode lacks here; empty if nothing.
std::string missing_for_async(const WriteProtectSupport& support) {
  if (!support.uffd.error.empty()) return support.uffd.error;
  if ((support.uffd.features & kUffdFeatureWpAsync) == 0) {
    return "the kernel has no asynchronous userfaultfd write protection (Linux 6.7)";
  }
  if (!support.pagemap_scan) return "the kernel has no PAGEMAP_SCAN (Linux 6.7)";
  return {};
}

std::string missing_for_sync(const WriteProtectSupport& support) {
  if (!support.uffd.error.empty()) return support.uffd.error;
  if ((support.uffd.features & UFFD_FEATURE_PAGEFAULT_FLAG_WP) == 0) {
    return "the kernel has no userfaultfd write protection (Linux 5.7, x86-64 or arm64)";
  }
  return {};
}

}  // namespace

WriteProtectSupport probe_write_protect() noexcept {
  WriteProtectSupport support;
  support.uffd = Uffd::probe();
  Result<Pagemap> pagemap = Pagemap::open();
  support.pagemap_scan = pagemap && pagemap->can_scan();
  return support;
}

Result<WriteProtectMode> choose_write_protect_mode(WriteProtectMode wanted,
                                                   const WriteProtectSupport& support) noexcept {
  const std::string no_async = missing_for_async(support);
  if (wanted != WriteProtectMode::sync && no_async.empty()) return WriteProtectMode::async;
  if (wanted == WriteProtectMode::async) {
    return Error(ErrorCode::unsupported, "asynchronous write protection: " + no_async);
  }
  const std::string no_sync = missing_for_sync(support);
  if (no_sync.empty()) return WriteProtectMode::sync;
  return Error(ErrorCode::unsupported, "write protection: " + no_sync);
}

std::string probe_report() noexcept {
  const WriteProtectSupport support = probe_write_protect();
  const auto feature = [&](uint64_t bit) {
    return (support.uffd.features & bit) != 0 ? "yes\n" : "no\n";
  };
  std::string report = "userfaultfd: ";
  report += support.uffd.error.empty() ? support.uffd.how : "no (" + support.uffd.error + ")";
  report += "\nuserfaultfd write-protect: ";
  report += feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
  report += "userfaultfd write-protect of shared memory and huge pages: ";
  report += feature(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
  report += "userfaultfd write-protect without events (WP_ASYNC): ";
  report += feature(kUffdFeatureWpAsync);
  report += "PAGEMAP_SCAN: ";
  report += support.pagemap_scan ? "yes\n" : "no\n";
  Result<WriteProtectMode> mode = choose_write_protect_mode(WriteProtectMode::automatic, support);
  report += "write-protect tracker: ";
  if (!mode) {
    report += "none\n";
  } else {
    report += *mode == WriteProtectMode::async ? "wp-async\n" : "wp-sync\n";
  }
  return report;
}

Result<std::unique_ptr<DirtyTracker>> make_write_protect_tracker(WriteProtectMode mode,
                                                                 LogSink& log) noexcept {
  const WriteProtectSupport support = probe_write_protect();
  const WriteProtectMode chosen = TERN_TRY(choose_write_protect_mode(mode, support));
  if (chosen == WriteProtectMode::async) {
    log.log(LogLevel::debug, "dirty tracking by wp-async (userfaultfd WP_ASYNC and PAGEMAP_SCAN)");
    return std::unique_ptr<DirtyTracker>(std::make_unique<WpAsyncTracker>(support.uffd.features));
  }
  log.log(LogLevel::debug,
          "dirty tracking by wp-sync (userfaultfd write faults), " + missing_for_async(support));
  if (support.uffd.user_mode_only) {
    log.log(LogLevel::warning,
            "wp-sync: only faults from user mode may be served; a system call that writes into "
            "protected RAM fails with EFAULT. CAP_SYS_PTRACE, access to /dev/userfaultfd or "
            "vm.unprivileged_userfaultfd=1 lift that");
  }
  return std::unique_ptr<DirtyTracker>(std::make_unique<WpSyncTracker>(support.uffd.features, log));
}

}  // namespace tern
