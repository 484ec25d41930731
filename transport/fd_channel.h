// SPDX-License-Identifier: Apache-2.0
//
// The fd: scheme: a descriptor of this process becomes a channel. Names given by QMP's getfd are
// looked up by migration/, which passes the number.
#pragma once

#include <memory>

#include "base/channel.h"
#include "tern/address.h"
#include "transport/exec_channel.h"
#include "transport/socket_channel.h"

namespace tern::transport {

/// Takes the descriptor, whatever comes of it: on an error it is closed, so that its other end
/// learns of it and nobody has to know how far it came. Errors: invalid_argument (not a number, not
/// open, wrong direction, not a connected stream socket).
Result<std::unique_ptr<Channel>> open_fd_channel(const FdAddress& address, Direction direction,
                                                 const SocketOptions& options) noexcept;

}  // namespace tern::transport
