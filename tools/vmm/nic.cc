// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/nic.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "tools/vmm/fd.h"

namespace tern::vmm {
namespace {

Error bad(std::string_view text, std::string_view why) noexcept {
  return Error(ErrorCode::invalid_argument, "'" + std::string(text) + "': " + std::string(why));
}

struct Nic {
  NicOptions options;
  int index = 0;  // of the interface
};

class PacketAnnouncer final : public SelfAnnouncer {
 public:
  PacketAnnouncer(UniqueFd socket, std::vector<Nic> nics, LogSink& log) noexcept
      : socket_(std::move(socket)), nics_(std::move(nics)), log_(log) {}

  void announce(std::span<const std::string> interfaces) noexcept override {
    for (const Nic& nic : nics_) {
      const bool named =
          std::find(interfaces.begin(), interfaces.end(), nic.options.id) != interfaces.end();
      if (interfaces.empty() || named) send(nic);
    }
  }

 private:
  void send(const Nic& nic) noexcept {
    const auto frame = make_announcement(nic.options.mac);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_RARP);
    to.sll_ifindex = nic.index;
    to.sll_halen = ETH_ALEN;
    std::fill_n(to.sll_addr, ETH_ALEN, uint8_t{0xff});
    const void* address = &to;
    if (::sendto(socket_.get(), frame.data(), frame.size(), MSG_NOSIGNAL,
                 static_cast<const sockaddr*>(address), sizeof to) < 0) {
      log_.log(LogLevel::warning,
               errno_error(ErrorCode::channel, "announcement on " + nic.options.interface, errno)
                   .message());
    }
  }

  const UniqueFd socket_;
  const std::vector<Nic> nics_;
  LogSink& log_;
};

}  // namespace

Result<MacAddress> parse_mac(std::string_view text) noexcept {
  MacAddress mac{};
  if (text.size() != 17) return bad(text, "not a MAC address");
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* at = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
    if (error != std::errc() || end != at + 2 || (i < 5 && *end != ':')) {
      return bad(text, "not a MAC address");
    }
  }
  return mac;
}

Result<NicOptions> parse_nic(std::string_view text, size_t index) noexcept {
  NicOptions nic;
  nic.id = "net" + std::to_string(index);
  bool has_mac = false;
  const size_t comma = std::min(text.find(','), text.size());
  nic.interface = text.substr(0, comma);
  for (std::string_view rest = text.substr(comma); !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view word = rest.substr(0, std::min(rest.find(','), rest.size()));
    rest.remove_prefix(word.size());
    if (word.starts_with("mac=")) {
      nic.mac = TERN_TRY(parse_mac(word.substr(4)));
      has_mac = true;
    } else if (word.starts_with("id=") && word.size() > 3) {
      nic.id = word.substr(3);
    } else {
      return bad(text, "after the interface come mac=MAC and id=NAME");
    }
  }
  if (nic.interface.empty() || !has_mac) return bad(text, "not INTERFACE,mac=MAC[,id=NAME]");
  return nic;
}

Result<std::unique_ptr<SelfAnnouncer>> make_announcer(const std::vector<NicOptions>& nics,
                                                      LogSink& log) noexcept {
  if (nics.empty()) return std::unique_ptr<SelfAnnouncer>();
  UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error(ErrorCode::unsupported, "a packet socket", errno);
  std::vector<Nic> found;
  for (const NicOptions& options : nics) {
    const unsigned index = ::if_nametoindex(options.interface.c_str());
    if (index == 0) {
      return errno_error(ErrorCode::invalid_argument, "interface " + options.interface, errno);
    }
    found.push_back({options, static_cast<int>(index)});
  }
  return std::unique_ptr<SelfAnnouncer>(
      new PacketAnnouncer(std::move(socket), std::move(found), log));
}

}  // namespace tern::vmm
