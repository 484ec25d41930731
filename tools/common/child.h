// SPDX-License-Identifier: Apache-2.0
//
// A program started by a tool, ended with it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tern/result.h"

namespace tern::tool {

/// One thread.
class ChildProcess {
 public:
  /// Starts argv[0] (a path); its stdout and stderr go to `log_path`. Errors: channel.
  static Result<ChildProcess> start(const std::vector<std::string>& argv,
                                    const std::string& log_path) noexcept;
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  /// Kills it.
  ~ChildProcess();

  bool running() noexcept;
  /// Waits for its end; the exit status, or 128 + signal.
  int wait() noexcept;
  void kill() noexcept;
  /// What it printed.
  std::string output() const noexcept;

 private:
  ChildProcess(pid_t pid, std::string log_path) noexcept
      : pid_(pid), log_path_(std::move(log_path)) {}
  pid_t pid_;
  std::string log_path_;
  int status_ = -1;
};

/// A directory under $TMPDIR or /tmp that is removed with all in it.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create() noexcept;
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const noexcept { return path_; }
  std::string file(const std::string& name) const noexcept { return path_ + "/" + name; }

 private:
  explicit TemporaryDirectory(std::string path) noexcept : path_(std::move(path)) {}
  std::string path_;
};

/// The whole file; empty if it cannot be read.
std::string read_text(const std::string& path) noexcept;

/// Path of a program that is installed beside the running one.
std::string sibling_program(const std::string& name) noexcept;

}  // namespace tern::tool
