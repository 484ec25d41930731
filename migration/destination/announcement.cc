// SPDX-License-Identifier: Apache-2.0
//
// The packet of tern/announce.h: an Ethernet broadcast with a RARP request (RFC 903) whose hardware
// addresses, sender and target, are both the guest's.
#include <algorithm>

#include "base/wire_int.h"
#include "tern/announce.h"

namespace tern {

std::array<std::byte, kAnnouncementBytes> make_announcement(const MacAddress& mac) noexcept {
  constexpr uint16_t kEthertypeRarp = 0x8035;
  constexpr uint16_t kHardwareEthernet = 1;
  constexpr uint16_t kProtocolIp = 0x0800;
  constexpr uint16_t kRequestReverse = 3;
  std::array<std::byte, kAnnouncementBytes> frame{};
  const auto address = std::as_bytes(std::span(mac));
  std::byte* at = frame.data();
  const auto put = [&at](std::span<const std::byte> bytes) {
    at = std::copy(bytes.begin(), bytes.end(), at);
  };
  const auto put_be16 = [&at](uint16_t value) {
    store_be(at, value);
    at += sizeof value;
  };
  at = std::fill_n(at, 6, std::byte{0xff});
  put(address);
  put_be16(kEthertypeRarp);
  put_be16(kHardwareEthernet);
  put_be16(kProtocolIp);
  *at++ = std::byte{6};  // bytes of a hardware address
  *at++ = std::byte{4};  // bytes of a protocol address
  put_be16(kRequestReverse);
  put(address);
  at += 4;  // the sender's IP address: none
  put(address);
  return frame;  // the target's IP address, and padding up to Ethernet's smallest frame: zeros
}

}  // namespace tern
