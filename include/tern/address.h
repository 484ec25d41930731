// SPDX-License-Identifier: Apache-2.0
//
// Where a migration goes to or comes from: QEMU's MigrationAddress.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// tcp:HOST:PORT. An empty host listens on all addresses and cannot be connected to.
struct InetAddress {
  std::string host;
  std::string port;            ///< number or service name; "0" lets the kernel pick when listening
  std::optional<uint16_t> to;  ///< listening: try port..to
  std::optional<bool> ipv4;
  std::optional<bool> ipv6;
  std::optional<bool> keep_alive;
  std::optional<bool> numeric;
  bool operator==(const InetAddress&) const = default;
};
struct UnixAddress {
  std::string path;  ///< at most 107 bytes
  bool abstract = false;
  bool tight = true;  ///< abstract: exact length, else padded with NUL
  bool operator==(const UnixAddress&) const = default;
};
struct VsockAddress {
  std::string cid;  ///< decimal; 4294967295 is "any" when listening
  std::string port;
  bool operator==(const VsockAddress&) const = default;
};
/// A descriptor: a name given by QMP getfd, or a number of a descriptor of this process.
struct FdAddress {
  std::string str;
  bool operator==(const FdAddress&) const = default;
};
struct ExecAddress {
  std::vector<std::string> args;  ///< argv; a URI gives {"/bin/sh", "-c", COMMAND}
  bool operator==(const ExecAddress&) const = default;
};

using Address = std::variant<InetAddress, UnixAddress, VsockAddress, FdAddress, ExecAddress>;

/// Parses "tcp:…", "unix:…", "vsock:…", "fd:…", "exec:…" as QEMU does, except that a port above
/// 65535 is refused. Errors: invalid_argument, naming what is wrong.
TERN_API Result<Address> parse_uri(std::string_view uri) noexcept;

/// The URI of an address ("tcp:[::1]:4444"); parse_uri of it gives the same address, except for
/// abstract unix names and exec arguments, which have no URI form.
TERN_API std::string to_uri(const Address& address) noexcept;

}  // namespace tern
