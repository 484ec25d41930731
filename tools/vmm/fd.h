// SPDX-License-Identifier: Apache-2.0
//
// Owner of one file descriptor, and the eventfd that wakes a thread waiting in poll.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace tern::vmm {

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// A flag that poll can wait for. Thread-safe.
class WakeFd {
 public:
  WakeFd() noexcept : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  int get() const noexcept { return fd_.get(); }
  void raise() noexcept {
    const uint64_t one = 1;
    // Fails only when the counter is at its ceiling, and then the flag is up anyhow.
    [[maybe_unused]] const auto n = ::write(fd_.get(), &one, sizeof one);
  }
  void lower() noexcept {
    uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(fd_.get(), &count, sizeof count);
  }

 private:
  UniqueFd fd_;
};

}  // namespace tern::vmm
