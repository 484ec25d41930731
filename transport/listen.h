// SPDX-License-Identifier: Apache-2.0
//
// A destination's way from an address to the channels that come in, for every scheme this room has.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/channel.h"
#include "tern/address.h"

namespace tern::transport {

struct ListenOptions {
  /// As in ConnectOptions.
  uint32_t stall_timeout_ms = 60000;
};

class BoundListener : public Listener {
 public:
  /// Where it really listens, newest first (QEMU's order in query-migrate): numeric host, the port
  /// the kernel gave, ipv4 or ipv6 set. Empty for fd: and exec:. Any thread.
  virtual std::vector<Address> bound() const noexcept = 0;
};

/// Listens (exec: starts the command, fd: takes the descriptor, in any case) before it returns.
/// tcp: without a host listens on all addresses, each family on a socket and, with port 0, a port
/// of its own; with to=N at the first port of the range that is free on all of them. unix: replaces
/// a socket that a dead process left, never another kind of file, and removes its own when it ends.
/// Before the listener is destroyed abort() it and join the thread in accept().
/// Errors: invalid_argument, channel ("Failed to bind socket to 'HOST:PORT': why"), unsupported,
/// resource_exhausted. accept() returns resource_exhausted without losing the connection when
/// descriptors ran out.
Result<std::unique_ptr<BoundListener>> make_listener(const Address& address,
                                                     const ListenOptions& options) noexcept;

}  // namespace tern::transport
