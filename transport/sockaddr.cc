// SPDX-License-Identifier: Apache-2.0
//
// Between tern's addresses and the kernel's.
#include "transport/sockaddr.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>
// After sys/socket.h: it uses its types.
#include <linux/vm_sockets.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "transport/address.h"

namespace tern::transport {

namespace {

template <typename T>
T view_as(const SockAddr& address) noexcept {
  T out{};
  std::memcpy(&out, address.get(), std::min<size_t>(sizeof out, address.length()));
  return out;
}

int family_of(const InetAddress& inet) noexcept {
  const bool want4 = inet.ipv4.value_or(false);
  const bool want6 = inet.ipv6.value_or(false);
  if (want4 && want6) return AF_UNSPEC;
  if (want6 || inet.ipv4 == false) return AF_INET6;
  if (want4 || inet.ipv6 == false) return AF_INET;
  return AF_UNSPEC;
}

struct FreeAddrinfo {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using AddrinfoList = std::unique_ptr<addrinfo, FreeAddrinfo>;

struct Lookup {
  int status = 0;  // EAI_*
  AddrinfoList list;
};

Lookup look_up(const InetAddress& inet, Purpose purpose, int family, int flags) noexcept {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | (purpose == Purpose::listen ? AI_PASSIVE : 0);
  // No host: all addresses when listening; when connecting the empty name that resolves to nothing.
  const bool any = purpose == Purpose::listen && inet.host.empty();
  Lookup result;
  addrinfo* list = nullptr;
  result.status =
      ::getaddrinfo(any ? nullptr : inet.host.c_str(), inet.port.c_str(), &hints, &list);
  if (result.status == 0) result.list.reset(list);
  return result;
}

Error resolution_error(const InetAddress& inet, int status, int sys_errno) noexcept {
  ErrorCode code = ErrorCode::channel;
  if (status == EAI_MEMORY) code = ErrorCode::resource_exhausted;
  const std::string what = "address resolution failed for " + inet.host + ":" + inet.port;
  if (status == EAI_SYSTEM) return errno_error(code, what, sys_errno);
  return Error(code, what + ": " + ::gai_strerror(status));
}

}  // namespace

SockAddr::SockAddr(const void* bytes, socklen_t length) noexcept
    : length_(std::min<socklen_t>(length, sizeof storage_)) {
  std::memcpy(&storage_, bytes, length_);
}

SockAddr SockAddr::local_of(int socket) noexcept {
  SockAddr out;
  out.length_ = sizeof out.storage_;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&out.storage_), &out.length_) != 0) {
    return {};
  }
  return out;
}

SockAddr SockAddr::peer_of(int socket) noexcept {
  SockAddr out;
  out.length_ = sizeof out.storage_;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&out.storage_), &out.length_) != 0) {
    return {};
  }
  return out;
}

uint16_t SockAddr::port() const noexcept {
  if (family() == AF_INET) return ntohs(view_as<sockaddr_in>(*this).sin_port);
  if (family() == AF_INET6) return ntohs(view_as<sockaddr_in6>(*this).sin6_port);
  return 0;
}

void SockAddr::set_port(uint16_t port) noexcept {
  const uint16_t value = htons(port);
  auto* bytes = reinterpret_cast<std::byte*>(&storage_);
  if (family() == AF_INET) {
    std::memcpy(bytes + offsetof(sockaddr_in, sin_port), &value, sizeof value);
  } else if (family() == AF_INET6) {
    std::memcpy(bytes + offsetof(sockaddr_in6, sin6_port), &value, sizeof value);
  }
}

bool SockAddr::operator==(const SockAddr& other) const noexcept {
  return length_ == other.length_ && std::memcmp(&storage_, &other.storage_, length_) == 0;
}

Address SockAddr::to_address() const noexcept {
  if (family() == AF_VSOCK) {
    const auto vm = view_as<sockaddr_vm>(*this);
    return VsockAddress{std::to_string(vm.svm_cid), std::to_string(vm.svm_port)};
  }
  if (family() != AF_INET && family() != AF_INET6) return UnixAddress{};
  InetAddress inet;
  inet.port = std::to_string(port());
  std::array<char, NI_MAXHOST> host{};
  const auto six = view_as<sockaddr_in6>(*this);
  if (family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
    ::inet_ntop(AF_INET, &six.sin6_addr.s6_addr[12], host.data(), host.size());
    inet.ipv4 = true;
  } else {
    // Not inet_ntop: a link-local address is nothing without its zone.
    ::getnameinfo(get(), length_, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
    (family() == AF_INET ? inet.ipv4 : inet.ipv6) = true;
  }
  inet.host = host.data();
  return inet;
}

Result<std::vector<SockAddr>> resolve(const InetAddress& inet, Purpose purpose) noexcept {
  const bool numeric = inet.numeric.value_or(false);
  const int service = numeric ? AI_NUMERICSERV : 0;
  Lookup found = look_up(inet, purpose, AF_UNSPEC, AI_NUMERICHOST | service);
  const bool literal = found.status == 0 && !inet.host.empty();
  if (!literal) {
    found = look_up(inet, purpose, family_of(inet), numeric ? AI_NUMERICHOST | service : 0);
  }
  if (found.status != 0) return resolution_error(inet, found.status, errno);
  std::vector<SockAddr> out;
  for (const addrinfo* at = found.list.get(); at != nullptr; at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
    SockAddr address(at->ai_addr, at->ai_addrlen);
    // /etc/hosts with two lines for a name gives the same address twice, which cannot be listened
    // on.
    if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
  }
  if (out.empty()) return resolution_error(inet, EAI_NONAME, 0);
  return out;
}

Result<SockAddr> make_sockaddr(const UnixAddress& unix_address) noexcept {
  TERN_TRY(validate(Address(unix_address)));
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const std::string& path = unix_address.path;
  size_t length = sizeof un;
  if (unix_address.abstract) {
    std::memcpy(un.sun_path + 1, path.data(), path.size());
    if (unix_address.tight) length = offsetof(sockaddr_un, sun_path) + 1 + path.size();
  } else {
    std::memcpy(un.sun_path, path.data(), path.size());
    length = offsetof(sockaddr_un, sun_path) + path.size() + 1;
  }
  return SockAddr(&un, static_cast<socklen_t>(length));
}

Result<SockAddr> make_sockaddr(const VsockAddress& vsock) noexcept {
  TERN_TRY(validate(Address(vsock)));
  sockaddr_vm vm{};
  vm.svm_family = AF_VSOCK;
  constexpr uint64_t kMax = 0xffffffff;
  vm.svm_cid = static_cast<unsigned>(parse_decimal(vsock.cid, kMax).value_or(0));
  vm.svm_port = static_cast<unsigned>(parse_decimal(vsock.port, kMax).value_or(0));
  return SockAddr(&vm, sizeof vm);
}

}  // namespace tern::transport
