// SPDX-License-Identifier: Apache-2.0
//
// Between tern's addresses and the kernel's: name resolution, sockaddr structures, and their text.
// Opens no sockets.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tern/address.h"
#include "tern/result.h"

namespace tern::transport {

/// One address as the kernel takes it.
class SockAddr {
 public:
  SockAddr() noexcept = default;
  /// Copies `length` bytes, at most what a sockaddr_storage holds.
  SockAddr(const void* bytes, socklen_t length) noexcept;

  static SockAddr local_of(int socket) noexcept;
  static SockAddr peer_of(int socket) noexcept;

  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const noexcept { return length_; }
  int family() const noexcept { return storage_.ss_family; }
  uint16_t port() const noexcept;
  void set_port(uint16_t port) noexcept;
  bool operator==(const SockAddr& other) const noexcept;

  /// Numeric; an IPv4 address mapped into IPv6 is shown as what it is. inet and vsock have one,
  /// other families give an empty UnixAddress.
  Address to_address() const noexcept;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

enum class Purpose { connect, listen };

/// All addresses in the order of getaddrinfo, which may ask the network and cannot be interrupted.
/// ipv4/ipv6 choose among the addresses of a name; next to a literal they say nothing, as in QEMU.
/// Errors: channel, "address resolution failed for HOST:PORT: why".
Result<std::vector<SockAddr>> resolve(const InetAddress& inet, Purpose purpose) noexcept;

Result<SockAddr> make_sockaddr(const UnixAddress& unix_address) noexcept;
Result<SockAddr> make_sockaddr(const VsockAddress& vsock) noexcept;

}  // namespace tern::transport
