// SPDX-License-Identifier: Apache-2.0
//
// A source's way from an address to a channel, for every scheme this room has.
#pragma once

#include <cstdint>
#include <memory>

#include "base/channel.h"
#include "tern/address.h"

namespace tern::transport {

struct ConnectOptions {
  /// First read and write deadline of the channels, and what detection of a dead TCP peer follows.
  uint32_t stall_timeout_ms = 60000;
};

/// Checks the address; opens nothing yet. connect() may be called again for further channels,
/// except for fd:. abort() is for ever, and takes effect after a name resolution under way
/// (getaddrinfo cannot be interrupted). fd: takes the descriptor at once, in any case. Errors:
/// invalid_argument (also: the descriptor is no good). Of connect(): channel ("Failed to connect to
/// 'HOST:PORT': why"), timed_out (names the deadline), cancelled, unsupported (no such address
/// family here), resource_exhausted.
Result<std::unique_ptr<Connector>> make_connector(const Address& address,
                                                  const ConnectOptions& options) noexcept;

}  // namespace tern::transport
