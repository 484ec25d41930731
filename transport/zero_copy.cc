// SPDX-License-Identifier: Apache-2.0
#include "transport/zero_copy.h"

#include <sys/socket.h>
#include <time.h>
// After the two: it uses their types.
#include <linux/errqueue.h>

#include <array>
#include <cstring>
#include <utility>

namespace tern::transport {

void ZeroCopyLedger::reap(int fd) noexcept {
  for (;;) {
    std::array<std::byte, 256> control;
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      sock_extended_err told{};
      if (c->cmsg_len < CMSG_LEN(sizeof told)) continue;
      std::memcpy(&told, CMSG_DATA(c), sizeof told);
      if (told.ee_origin != SO_EE_ORIGIN_ZEROCOPY || told.ee_errno != 0) continue;
      // Numbers of 32 bits that wrap; the difference does not mind.
      const uint64_t count = uint64_t{told.ee_data - told.ee_info} + 1;
      finished_ += count;
      report_.writes += count;
      if ((told.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0) report_.copied += count;
    }
  }
}

Channel::ZeroCopyFlush ZeroCopyLedger::take_report() noexcept { return std::exchange(report_, {}); }

}  // namespace tern::transport
