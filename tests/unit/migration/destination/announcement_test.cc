// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "tern/announce.h"

namespace tern {
namespace {

TEST(Announcement, is_a_broadcast_rarp_request_of_ethernets_smallest_size) {
  const auto frame = make_announcement({0x52, 0x54, 0x00, 0x12, 0x34, 0x56});
  std::string hex;
  for (const std::byte b : frame) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[std::to_integer<unsigned>(b) >> 4];
    hex += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  EXPECT_EQ(hex,
            "ffffffffffff525400123456"  // to everybody, from the guest
            "8035"                      // RARP
            "0001080006040003"          // Ethernet, IP, sizes, reverse request
            "52540012345600000000"      // the sender: the guest, no IP address
            "52540012345600000000" +    // the target: the same
                std::string(36, '0'));
}

}  // namespace
}  // namespace tern
