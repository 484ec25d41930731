// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "tools/common/json_fields.h"

namespace tern::tool {
namespace {

constexpr size_t kMaxText = size_t{256} << 20;

Error error_of(int what, std::string message) noexcept {
  return Error(ErrorCode::failed_precondition, std::move(message), what);
}

std::string process_text(pid_t pid) { return "process " + std::to_string(pid); }

Result<std::string> read_at(int directory, const char* file) noexcept {
  const Fd fd(::openat(directory, file, O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(ErrorCode::failed_precondition, file, errno);
  std::string text;
  for (size_t filled = 0;;) {
    if (filled == text.size()) {
      if (filled >= kMaxText) return Error(ErrorCode::resource_exhausted, "too long");
      text.resize(std::clamp<size_t>(2 * filled, size_t{64} << 10, kMaxText));
    }
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(ErrorCode::failed_precondition, file, errno);
    filled += static_cast<size_t>(got);
    if (got == 0) {
      text.resize(filled);
      return text;
    }
  }
}

int ptrace_scope() noexcept {
  const Result<std::string> text = read_at(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope");
  int scope = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), scope);
  return scope;
}

Error refused(pid_t pid, int directory) noexcept {
  uid_t owner = ::getuid();
  if (const Result<std::string> status = read_at(directory, "status")) {
    owner = owner_in_status(*status, owner);
  }
  return error_of(kNotPermitted, refusal_text(pid, owner, ::geteuid(), ptrace_scope()));
}

// The first number behind "\nName:\t".
template <typename Number>
Number number_in_status(std::string_view status, std::string_view name, Number otherwise) noexcept {
  const size_t at = status.find(name);
  if (at == status.npos) return otherwise;
  const std::string_view digits = status.substr(at + name.size());
  std::from_chars(digits.data(), digits.data() + digits.size(), otherwise);
  return otherwise;
}

// Of a thread that is not its process's first, which pidfd_open does not take.
pid_t process_of_thread(pid_t tid) noexcept {
  const std::string file = "/proc/" + std::to_string(tid) + "/status";
  const Result<std::string> status = read_at(AT_FDCWD, file.c_str());
  const pid_t process = status ? process_in_status(*status) : 0;
  return process == tid ? 0 : process;
}

// How long the end of a process takes to be seen behind that of its memory.
constexpr int kEndingMs = 200;

}  // namespace

uid_t owner_in_status(std::string_view status, uid_t otherwise) noexcept {
  return number_in_status(status, "\nUid:\t", otherwise);
}

pid_t process_in_status(std::string_view status) noexcept {
  return number_in_status(status, "\nTgid:\t", pid_t{0});
}

// Its name comes before, in brackets, and may have brackets itself.
char state_in_stat(std::string_view stat) noexcept {
  const size_t at = stat.rfind(") ");
  return at == stat.npos || at + 2 >= stat.size() ? '?' : stat[at + 2];
}

std::string refusal_text(pid_t pid, uid_t owner, uid_t we, int ptrace_scope) noexcept {
  std::string text = "may not look at " + process_text(pid) + ": ";
  if (owner != we) {
    return text + "it belongs to user " + std::to_string(owner) + ", we are user " +
           std::to_string(we) + "; run as root or with CAP_SYS_PTRACE";
  }
  if (ptrace_scope == 1) {
    return text +
           "kernel.yama.ptrace_scope is 1, which lets only a parent look at a process; "
           "run as root or with CAP_SYS_PTRACE";
  }
  if (ptrace_scope > 1) {
    return text + "kernel.yama.ptrace_scope is " + std::to_string(ptrace_scope) +
           (ptrace_scope == 2 ? "; run as root or with CAP_SYS_PTRACE"
                              : ", which forbids it to all");
  }
  if (we == 0) {
    return text +
           "it has capabilities that we lack, is in a user namespace above ours, or a security "
           "module forbids it; run with CAP_SYS_PTRACE, outside the container";
  }
  return text +
         "it is ours, but not dumpable (it changed its user, or asked for that) or confined "
         "by a security module; run as root";
}

Result<Process> Process::open(pid_t pid) noexcept {
  const auto none = [&] { return error_of(kProcessGone, "there is no " + process_text(pid)); };
  if (pid <= 0) return none();
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const int error = errno;
    if (error == ESRCH) return none();
    if (const pid_t of = process_of_thread(pid); of != 0) {
      return Error(ErrorCode::invalid_argument,
                   std::to_string(pid) + " is a thread of " + process_text(of) + ", not a process");
    }
    return errno_error(ErrorCode::unsupported, "pidfd_open", error);
  }
  const std::string path = "/proc/" + std::to_string(pid);
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // With the mount option hidepid a process that is not ours has no directory.
  if (!directory && ::kill(pid, 0) != 0 && errno == ESRCH) return none();
  if (!directory) {
    return error_of(kNotPermitted, "may not look at " + process_text(pid) + ": /proc hides it");
  }
  Result<Pagemap> pagemap = Pagemap::open_at(directory.get());
  if (!pagemap) {
    const int error = pagemap.error().sys_errno();
    if (error == EACCES || error == EPERM) return refused(pid, directory.get());
    if (error == ESRCH) {
      // No memory: it ends, has ended and is not waited for, or never had any.
      pollfd ending{pidfd.get(), POLLIN, 0};
      if (::poll(&ending, 1, kEndingMs) > 0) return none();
      return error_of(kNothingThere,
                      process_text(pid) + " has no memory of its own: a kernel thread");
    }
    return std::move(pagemap).error().context(process_text(pid));
  }
  Process process(pid, std::move(pidfd), std::move(directory), std::move(pagemap).value());
  // The directory is that of the process behind the pidfd if that one still lives now.
  if (process.ended()) return none();
  if (const Result<std::string> name = read_at(process.directory(), "comm")) {
    process.name_ = printable(std::string_view(*name).substr(0, name->find('\n')));
  }
  Result<std::string> maps = read_at(process.directory(), "maps");
  if (!maps) {
    const int error = maps.error().sys_errno();
    if (error == EACCES || error == EPERM) return refused(pid, process.directory());
    return std::move(maps).error().context(process_text(pid));
  }
  if (maps->empty()) {
    return error_of(kNothingThere, process_text(pid) + " (" + process.name_ +
                                       ") has no memory of its own: a kernel thread");
  }
  // Reading memory asks for more than reading /proc does: the answer shall come before we wait.
  std::byte byte{};
  const MemoryRange nowhere{reinterpret_cast<std::byte*>(uintptr_t{4096}), 1};
  TERN_TRY(process.copy(std::span(&nowhere, 1), std::span(&byte, 1)));
  return process;
}

bool Process::ended() const noexcept {
  pollfd poll{pidfd_.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

Error Process::gone() const noexcept {
  return error_of(kProcessGone, process_text(pid_) + " (" + name_ + ") has ended");
}

Result<void> Process::check() noexcept {
  if (ended()) return gone();
  uint64_t entry = 0;
  const Result<size_t> there = pagemap_.read_entries({nullptr, 4096}, 0, std::span(&entry, 1));
  if (there) return {};
  if (there.error().sys_errno() != ESRCH) return Error(there.error());
  // Its memory goes before its end can be seen: a moment decides which of the two it is.
  pollfd poll{pidfd_.get(), POLLIN, 0};
  if (::poll(&poll, 1, kEndingMs) > 0) return gone();
  return error_of(kProgramReplaced, process_text(pid_) + " (" + name_ +
                                        ") has started another program (exec): the memory that "
                                        "was measured is gone");
}

Result<std::string> Process::read(const char* file) noexcept {
  Result<std::string> text = read_at(directory_.get(), file);
  if (Result<void> checked = check(); !checked) {
    text.ignore("of a process that is no more");
    return std::move(checked).error();
  }
  return std::move(text).context(process_text(pid_));
}

Result<size_t> Process::copy(std::span<const MemoryRange> from,
                             std::span<std::byte> into) noexcept {
  std::array<iovec, 1024> ranges;
  size_t copied = 0;
  for (size_t done = 0; done < from.size();) {
    const size_t count = std::min(ranges.size(), from.size() - done);
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) {
      ranges[i] = {from[done + i].start, from[done + i].bytes};
      wanted += from[done + i].bytes;
    }
    iovec here{into.data() + copied, wanted};
    const ssize_t got = ::process_vm_readv(pid_, &here, 1, ranges.data(), count, 0);
    if (got < 0 && errno == EFAULT) return copied;
    if (got < 0 && errno == ESRCH) return gone();
    if (got < 0 && errno == EPERM) return refused(pid_, directory_.get());
    if (got < 0) return errno_error(ErrorCode::unsupported, "process_vm_readv", errno);
    copied += static_cast<size_t>(got);
    if (static_cast<size_t>(got) < wanted) return copied;
    done += count;
  }
  return copied;
}

size_t Process::children() noexcept {
  // Of the threads, the first one's are enough for a note that there are some; a daemon that forks
  // from many threads is rare.
  const std::string file = "task/" + std::to_string(pid_) + "/children";
  const Result<std::string> text = read_at(directory_.get(), file.c_str());
  return text ? static_cast<size_t>(std::count(text->begin(), text->end(), ' ')) : 0;
}

bool Process::stopped() noexcept {
  const Result<std::string> stat = read_at(directory_.get(), "stat");
  const char state = stat ? state_in_stat(*stat) : '?';
  return state == 'T' || state == 't';
}

Result<bool> Process::wait(Nanoseconds until, int stop) noexcept {
  while (true) {
    const Nanoseconds left = std::max(Nanoseconds(0), until - system_clock().now());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec limit{seconds.count(), (left - seconds).count()};
    std::array<pollfd, 2> polls{pollfd{pidfd_.get(), POLLIN, 0}, pollfd{stop, POLLIN, 0}};
    const int ready = ::ppoll(polls.data(), polls.size(), &limit, nullptr);
    if (ready < 0 && errno != EINTR) return errno_error(ErrorCode::internal, "ppoll", errno);
    if (ready > 0 && polls[1].revents != 0) return true;
    if (ready > 0 && polls[0].revents != 0) return gone();
    if (ready == 0) return false;
  }
}

}  // namespace tern::tool
