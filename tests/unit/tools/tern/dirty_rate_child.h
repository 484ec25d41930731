// SPDX-License-Identifier: Apache-2.0
//
// A child process that does something with its memory, for tests that look at one. Test-only.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace tern::tool::test {

inline constexpr size_t kChildPage = 4096;

/// Memory that the child has at the same address, with a name that mappings can be chosen by. Of a
/// memfd; private unless `how` is MAP_SHARED.
class ChildMemory {
 public:
  explicit ChildMemory(size_t pages, int how = MAP_PRIVATE) : bytes_(pages * kChildPage) {
    const int fd = ::memfd_create("tern-test", MFD_CLOEXEC);
    if (::ftruncate(fd, static_cast<off_t>(bytes_)) != 0) return;
    start_ = static_cast<std::byte*>(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, how, fd, 0));
    ::close(fd);
    // One page of four kilobytes for each page that is written, whatever the machine's setting.
    ::madvise(start_, bytes_, MADV_NOHUGEPAGE);
  }
  ~ChildMemory() { ::munmap(start_, bytes_); }
  ChildMemory(const ChildMemory&) = delete;
  ChildMemory& operator=(const ChildMemory&) = delete;
  std::byte* page(size_t index) const { return start_ + index * kChildPage; }
  size_t pages() const { return bytes_ / kChildPage; }
  /// Whoever counts up does not come by the same content again: a byte would, every 256th time.
  void touch(size_t index, uint32_t value) const {
    *reinterpret_cast<volatile uint32_t*>(page(index)) = value;
  }

 private:
  size_t bytes_;
  std::byte* start_ = nullptr;
};

inline constexpr const char* kChildMemoryName = "/memfd:tern-test*";

/// Runs `step` each time it is told to, and waits else.
class Child {
 public:
  explicit Child(std::function<void(int)> step) {
    int down[2];
    int up[2];
    if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      char c = 0;
      ::close(down[1]);
      for (int i = 0; ::read(down[0], &c, 1) == 1; ++i) {
        step(i);
        if (::write(up[1], "", 1) != 1) break;
      }
      ::_exit(0);
    }
    ::close(down[0]);
    ::close(up[1]);
    tell_ = down[1];
    told_ = up[0];
  }
  ~Child() {
    end();
    ::close(tell_);
    ::close(told_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  /// Begins a step that it is not waited for.
  void start() const { (void)!::write(tell_, "", 1); }
  /// One step; false if the child did not come back from it.
  bool step() const {
    char c = 0;
    return ::write(tell_, "", 1) == 1 && ::read(told_, &c, 1) == 1;
  }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int tell_ = -1;
  int told_ = -1;
};

}  // namespace tern::tool::test
