// SPDX-License-Identifier: Apache-2.0
//
// One line of QEMU's qtest protocol, its memory part: a request in, a reply out. Knows no sockets.
//
//   read ADDR LEN                → OK 0xHEXBYTES          memset ADDR LEN VALUE     → OK
//   write ADDR LEN 0xHEXBYTES    → OK                     b64read ADDR LEN          → OK BASE64
//   readb|w|l|q ADDR             → OK 0x%016x             b64write ADDR LEN BASE64  → OK
//   writeb|w|l|q ADDR VALUE      → OK                     endianness                → OK little
// Numbers are decimal or 0x hex. Anything else: FAIL and why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/vmm/guest_memory.h"

namespace tern::vmm {

/// Longest read or write of bytes in one line.
inline constexpr uint64_t kQtestMaxBytes = 16ull << 20;
/// A write of that many in hex, with the words before it.
inline constexpr size_t kQtestMaxLine = 2 * kQtestMaxBytes + 256;

/// `line` without its newline; the reply too. May wait while a migration holds writes.
std::string qtest_execute(GuestMemory& memory, std::string_view line) noexcept;

}  // namespace tern::vmm
