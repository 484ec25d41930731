// SPDX-License-Identifier: Apache-2.0
//
// The qtest socket: takes one client after the other and answers its lines. Owns socket and thread;
// what the lines mean is qtest_protocol's.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "tern/log.h"
#include "tern/result.h"
#include "tools/vmm/fd.h"
#include "tools/vmm/guest_memory.h"

namespace tern::vmm {

class QtestServer {
 public:
  /// Listens on a Unix socket of mode 0600 and serves it on a thread named "qtest". A stale socket
  /// file is replaced. `memory` and `log` outlive the server; whoever destroys the server calls
  /// memory.close() first, so that no write waits. Errors: invalid_argument (path), channel (cannot
  /// bind, somebody listens there).
  static Result<std::unique_ptr<QtestServer>> create(const std::string& path, GuestMemory& memory,
                                                     LogSink& log) noexcept;
  /// Ends the connection and joins; removes the socket file.
  ~QtestServer();

 private:
  QtestServer(UniqueFd listener, std::string path, GuestMemory& memory, LogSink& log) noexcept;
  void serve() noexcept;
  void serve_client(int fd) noexcept;
  /// Waits for `events` on fd; false when the server ends.
  bool wait(int fd, short events) noexcept;
  bool send(int fd, std::string_view text) noexcept;

  UniqueFd listener_;
  const std::string path_;
  GuestMemory& memory_;
  LogSink& log_;
  WakeFd stop_;
  std::thread thread_;
};

}  // namespace tern::vmm
