// SPDX-License-Identifier: Apache-2.0
//
// The packets of a multifd channel, both directions.
//
//   channel = initial  { packet  payload }*
//   initial = be32 0x11223344  be32 1  uuid[16]  u8 id  39 unused                       64 bytes
//   packet  = be32 0x11223344  be32 1  be32 flags  be32 pages_alloc  be32 normal
//             be32 payload bytes  be64 number  be32 zero  28 unused
//             block[256]  be64 offset[128]                                            1344 bytes
//   device  = be32 0x11223344  be32 1  be32 0x40  idstr[256]  be32 instance
//             be32 payload bytes                                                       276 bytes
//
// The first `normal` offsets are the pages of the payload in its order, the next `zero` ones are to
// be cleared; offsets have any order. 128 is the count for pages of 4 KiB, the only size here.
// Spoken by QEMU 4.0 and later; zero pages in packets since 9.0, device packets since 10.0. What
// a 7.2 source does: pages and SYNC in one packet; an empty packet after it; in packets without
// pages the payload field, the name and the offsets are left over from an earlier one and mean
// nothing.
//
// Limits: 128 pages, 1 MiB of payload (QEMU's receive buffer).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tern/machine.h"
#include "tern/result.h"

namespace tern {

inline constexpr uint32_t kMultifdMagic = 0x11223344;
inline constexpr size_t kMultifdInitialBytes = 64;
inline constexpr size_t kMultifdPages = 128;
inline constexpr size_t kMultifdNameBytes = 256;
/// What tells a RAM packet from a device packet: magic, version, flags.
inline constexpr size_t kMultifdPrefixBytes = 12;
inline constexpr size_t kMultifdPacketBytes = 64 + kMultifdNameBytes + 8 * kMultifdPages;
inline constexpr size_t kMultifdDeviceBytes = kMultifdPrefixBytes + kMultifdNameBytes + 8;
inline constexpr uint32_t kMultifdMaxPayload = 2 * kMultifdPages * kTargetPageBytes;
static_assert(kMultifdPacketBytes == 1344 && kMultifdDeviceBytes == 276);

inline constexpr uint32_t kMultifdSync = 0x01;
inline constexpr uint32_t kMultifdZlib = 0x02;
inline constexpr uint32_t kMultifdZstd = 0x04;
inline constexpr uint32_t kMultifdMethods = 0x3e;  ///< one bit each; none is method none
inline constexpr uint32_t kMultifdDeviceState = 0x40;

struct MultifdInitial {
  Uuid uuid{};
  uint8_t id = 0;
};

struct MultifdPacket {
  uint32_t flags = 0;
  uint32_t pages_alloc = 0;
  uint32_t normal = 0;
  uint32_t zero = 0;
  uint32_t payload_bytes = 0;  ///< 0 without normal pages, whatever the field said
  uint64_t number = 0;         ///< informational: QEMU 7.2 repeats numbers
  std::string block;           ///< empty without pages
  /// normal + zero of them, page-aligned.
  std::array<uint64_t, kMultifdPages> offsets{};
};

struct MultifdDevicePacket {
  std::string idstr;
  uint32_t instance_id = 0;
  uint32_t payload_bytes = 0;
};

void encode(const MultifdInitial& initial, std::span<std::byte, kMultifdInitialBytes> out) noexcept;
/// `block` has at most 255 bytes.
void encode(const MultifdPacket& packet, std::span<std::byte, kMultifdPacketBytes> out) noexcept;

// Parsers. Errors: peer_protocol naming the field; `wrong_at`, where it begins in the bytes.
Result<MultifdInitial> parse_multifd_initial(std::span<const std::byte, kMultifdInitialBytes> bytes,
                                             size_t* wrong_at = nullptr) noexcept;
/// The flags, which say how long the header is. Errors: magic, version, unknown flags, two methods,
/// device state with anything else.
Result<uint32_t> parse_multifd_prefix(std::span<const std::byte, kMultifdPrefixBytes> bytes,
                                      size_t* wrong_at = nullptr) noexcept;
/// Everything that can be known without the guest's memory.
Result<MultifdPacket> parse_multifd_packet(std::span<const std::byte, kMultifdPacketBytes> bytes,
                                           size_t* wrong_at = nullptr) noexcept;
Result<MultifdDevicePacket> parse_multifd_device(
    std::span<const std::byte, kMultifdDeviceBytes> bytes, size_t* wrong_at = nullptr) noexcept;

}  // namespace tern
