// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/uffd.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <utility>

namespace tern {
namespace {

/// One UFFDIO_WRITEPROTECT covers at most this much: about 30 ms of 4 KiB pages.
constexpr uint64_t kProtectBytes = uint64_t{1} << 30;

int open_call(int extra_flags) noexcept {
  return static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | extra_flags));
}

int open_device() noexcept {
  const Fd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (!device) return -1;
  return ::ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
}

uint64_t address_of(const std::byte* p) noexcept { return reinterpret_cast<uintptr_t>(p); }

uffdio_range to_uffdio(MemoryRange range) noexcept {
  return {.start = address_of(range.start), .len = range.bytes};
}

Error uffd_error(const char* what, MemoryRange range, int error) noexcept {
  std::ostringstream text;
  text << what << " on " << range.bytes << " bytes at " << static_cast<const void*>(range.start);
  ErrorCode code = ErrorCode::unsupported;
  if (error == ENOMEM) code = ErrorCode::resource_exhausted;
  if (error == EBUSY) code = ErrorCode::failed_precondition;
  return errno_error(code, text.str(), error);
}

/// EAGAIN: the address space is being changed by somebody (mremap, fork) and the kernel wants the
/// call again.
template <typename Argument>
int retry_ioctl(int fd, unsigned long request, Argument* argument) noexcept {
  int result;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && (errno == EINTR || errno == EAGAIN));
  return result;
}

}  // namespace

Result<Uffd> Uffd::open_any(std::string& how) noexcept {
  int fd = open_call(0);
  how = "userfaultfd(2)";
  if (fd >= 0) return Uffd(Fd(fd), false);
  const int call_errno = errno;
  fd = open_device();
  how = "/dev/userfaultfd";
  if (fd >= 0) return Uffd(Fd(fd), false);
  fd = open_call(UFFD_USER_MODE_ONLY);
  how = "userfaultfd(2), user-mode faults only";
  if (fd >= 0) return Uffd(Fd(fd), true);
  how.clear();
  return errno_error(ErrorCode::unsupported,
                     "userfaultfd (needs CAP_SYS_PTRACE, access to /dev/userfaultfd or "
                     "vm.unprivileged_userfaultfd=1)",
                     call_errno);
}

Uffd::Probe Uffd::probe() noexcept {
  Probe probe;
  Result<Uffd> opened = open_any(probe.how);
  if (!opened) {
    probe.error = opened.error().message();
    return probe;
  }
  probe.user_mode_only = opened->user_mode_only();
  uffdio_api api{};
  api.api = UFFD_API;
  // Without features asked for, the kernel answers with all it has; this descriptor is spent by
  // that.
  if (retry_ioctl(opened->fd(), UFFDIO_API, &api) < 0) {
    probe.error = errno_error(ErrorCode::unsupported, "UFFDIO_API", errno).message();
    return probe;
  }
  probe.features = api.features;
  return probe;
}

Result<Uffd> Uffd::open(uint64_t features) noexcept {
  std::string how;
  Uffd uffd = TERN_TRY(open_any(how));
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  if (retry_ioctl(uffd.fd(), UFFDIO_API, &api) < 0) {
    const int error = errno;
    std::ostringstream text;
    text << "userfaultfd with features 0x" << std::hex << features;
    return errno_error(ErrorCode::unsupported, text.str(), error);
  }
  return uffd;
}

Result<uint64_t> Uffd::add(MemoryRange range, uint64_t mode) const noexcept {
  uffdio_register call{};
  call.range = to_uffdio(range);
  call.mode = mode;
  if (retry_ioctl(fd(), UFFDIO_REGISTER, &call) < 0) {
    const int error = errno;
    if (error == EINVAL) {
      return uffd_error("UFFDIO_REGISTER (the kernel cannot do it for this kind of mapping)", range,
                        error);
    }
    return uffd_error("UFFDIO_REGISTER", range, error);
  }
  return static_cast<uint64_t>(call.ioctls);
}

Result<void> Uffd::remove(MemoryRange range) const noexcept {
  uffdio_range call = to_uffdio(range);
  if (retry_ioctl(fd(), UFFDIO_UNREGISTER, &call) < 0) {
    return uffd_error("UFFDIO_UNREGISTER", range, errno);
  }
  // The kernel wakes only those who waited for a missing page.
  return wake(range);
}

Result<void> Uffd::write_protect(MemoryRange range, bool on) const noexcept {
  for (uint64_t done = 0; done < range.bytes; done += kProtectBytes) {
    const MemoryRange part{range.start + done, std::min(kProtectBytes, range.bytes - done)};
    uffdio_writeprotect call{};
    call.range = to_uffdio(part);
    call.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
    if (retry_ioctl(fd(), UFFDIO_WRITEPROTECT, &call) < 0) {
      return uffd_error("UFFDIO_WRITEPROTECT", part, errno);
    }
  }
  return {};
}

template <typename Fill>
Result<void> Uffd::fill_missing(const char* what, MemoryRange range, Fill&& fill) const noexcept {
  while (range.bytes > 0) {
    const auto [signed_done, error] = fill(range);
    if (error == 0) return {};
    // A part was done, then something stood in the way; a negative count is the error again.
    const uint64_t done =
        signed_done > 0 ? std::min(static_cast<uint64_t>(signed_done), range.bytes) : 0;
    range.start += done;
    range.bytes -= done;
    if (done > 0 || error == EINTR || error == EAGAIN) continue;
    // Somebody was quicker. Who waits for this page may have missed his wake-up.
    if (error == EEXIST) return wake(range);
    return uffd_error(what, range, error);
  }
  return {};
}

Result<void> Uffd::zero_page(MemoryRange range) const noexcept {
  return fill_missing("UFFDIO_ZEROPAGE", range, [this](MemoryRange rest) {
    uffdio_zeropage call{};
    call.range = to_uffdio(rest);
    const int error = ::ioctl(fd(), UFFDIO_ZEROPAGE, &call) == 0 ? 0 : errno;
    return std::pair(static_cast<int64_t>(call.zeropage), error);
  });
}

Result<void> Uffd::copy(MemoryRange range, const std::byte* source) const noexcept {
  return fill_missing("UFFDIO_COPY", range, [&](MemoryRange rest) {
    uffdio_copy call{};
    call.dst = address_of(rest.start);
    call.src = address_of(source + (rest.start - range.start));
    call.len = rest.bytes;
    const int error = ::ioctl(fd(), UFFDIO_COPY, &call) == 0 ? 0 : errno;
    return std::pair(static_cast<int64_t>(call.copy), error);
  });
}

Result<void> Uffd::wake(MemoryRange range) const noexcept {
  uffdio_range call = to_uffdio(range);
  if (retry_ioctl(fd(), UFFDIO_WAKE, &call) < 0) return uffd_error("UFFDIO_WAKE", range, errno);
  return {};
}

}  // namespace tern
