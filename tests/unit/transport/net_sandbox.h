// SPDX-License-Identifier: Apache-2.0
//
// A network of its own for one test: loopback only, whose cable can be pulled. Needs the right to
// make a network namespace; a test without it is skipped and says so.
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "base/fd.h"

namespace tern::transport {

/// Whether ::1 can be bound here.
inline bool loopback_has_ipv6() {
  const Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

class NetSandbox {
 public:
  /// Runs `body` on a thread that has moved into the namespace: sockets it makes live there.
  static void run(const std::function<void(NetSandbox&)>& body) {
    std::thread([&] {
      NetSandbox sandbox;
      body(sandbox);
    }).join();
  }

  bool ready() const { return why_not_.empty(); }
  const std::string& why_not() const { return why_not_; }

  bool set_loopback(bool up) const {
    const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = static_cast<short>(up ? IFF_UP | IFF_RUNNING : 0);
    return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
  }

  bool set_ephemeral_ports(const std::string& first_and_last) const {
    std::ofstream file("/proc/sys/net/ipv4/ip_local_port_range");
    file << first_and_last << std::flush;
    return file.good();
  }

 private:
  NetSandbox() {
    if (::unshare(CLONE_NEWNET) != 0) {
      why_not_ = std::string("no network namespace: ") + std::strerror(errno);
    } else if (!set_loopback(true)) {
      why_not_ = std::string("loopback cannot be brought up: ") + std::strerror(errno);
    }
  }
  std::string why_not_;
};

}  // namespace tern::transport
