// SPDX-License-Identifier: Apache-2.0
//
// The socket file of a QMP server: owned by one process, readable and writable by its user only.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "tern/result.h"

namespace tern::qmp {

class UnixListener {
 public:
  /// Binds and listens. A socket file that nobody listens on any more is replaced; one that is in
  /// use, or a file of another kind, is an error and stays. Errors: invalid_argument (path),
  /// failed_precondition (in use), channel.
  static Result<UnixListener> bind(const std::string& path) noexcept;
  UnixListener(UnixListener&&) noexcept = default;
  UnixListener& operator=(UnixListener&&) = delete;
  /// Removes the file if it is still this one.
  ~UnixListener();

  int fd() const noexcept { return socket_.get(); }
  /// The next client, non-blocking; empty if none waits. Errors: resource_exhausted (no
  /// descriptors; the client still waits), channel.
  Result<Fd> accept() noexcept;

 private:
  UnixListener(Fd socket, std::string path, dev_t device, ino_t inode) noexcept
      : socket_(std::move(socket)), path_(std::move(path)), device_(device), inode_(inode) {}

  Fd socket_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace tern::qmp
