// SPDX-License-Identifier: Apache-2.0
#include "ram/wire/multifd_packet.h"

#include <algorithm>
#include <string_view>

#include "base/wire_int.h"

namespace tern {
namespace {

constexpr uint32_t kVersion = 1;
// Offsets of fields.
constexpr size_t kFlagsAt = 8;
constexpr size_t kAllocAt = 12;
constexpr size_t kNormalAt = 16;
constexpr size_t kPayloadAt = 20;
constexpr size_t kNumberAt = 24;
constexpr size_t kZeroAt = 32;
constexpr size_t kNameAt = 64;
constexpr size_t kOffsetsAt = kNameAt + kMultifdNameBytes;
constexpr size_t kUuidAt = 8;
constexpr size_t kIdAt = 24;

Error malformed(std::string why) noexcept {
  return Error(ErrorCode::peer_protocol, "multifd packet: " + std::move(why));
}

void put_magic(std::byte* out) noexcept {
  store_be(out, kMultifdMagic);
  store_be(out + 4, kVersion);
}

Result<void> check_magic(const std::byte* bytes) noexcept {
  if (const auto magic = load_be<uint32_t>(bytes); magic != kMultifdMagic) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (int shift = 28; shift >= 0; shift -= 4) hex += kDigits[magic >> shift & 15];
    return malformed("magic 0x" + hex + " instead of 0x11223344");
  }
  if (const auto version = load_be<uint32_t>(bytes + 4); version != kVersion) {
    return malformed("version " + std::to_string(version) + ", only 1 is known");
  }
  return {};
}

Result<std::string> name_of(std::span<const std::byte> bytes, std::string_view what) noexcept {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  if (end == bytes.end()) return malformed(std::string(what) + " is not NUL-terminated");
  if (end == bytes.begin()) return malformed(std::string(what) + " is empty");
  return std::string(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<size_t>(end - bytes.begin()));
}

Result<void> check_counts(const MultifdPacket& p) noexcept {
  if (p.pages_alloc > kMultifdPages) {
    return malformed("room for " + std::to_string(p.pages_alloc) + " pages, 128 is the most");
  }
  // The SYNC packets of QEMU 9.0 and later say 0 pages; others have room for what they carry.
  if (p.normal > p.pages_alloc || p.zero > p.pages_alloc - p.normal) {
    return malformed(std::to_string(p.normal) + " normal and " + std::to_string(p.zero) +
                     " zero pages in a packet of " + std::to_string(p.pages_alloc));
  }
  return {};
}

Result<void> check_payload(const MultifdPacket& p, uint32_t field) noexcept {
  if (p.normal == 0) {
    // Left over from an earlier packet, unless there are zero pages: then it must say the truth.
    if (p.zero != 0 && field != 0) {
      return malformed("payload of " + std::to_string(field) + " bytes without normal pages");
    }
    return {};
  }
  const bool plain = (p.flags & kMultifdMethods) == 0;
  if (plain && field != p.normal * kTargetPageBytes) {
    return malformed("payload of " + std::to_string(field) + " bytes for " +
                     std::to_string(p.normal) + " pages");
  }
  if (field == 0 || field > kMultifdMaxPayload) {
    return malformed("payload of " + std::to_string(field) + " bytes, 1.." +
                     std::to_string(kMultifdMaxPayload) + " are possible");
  }
  return {};
}

}  // namespace

void encode(const MultifdInitial& initial,
            std::span<std::byte, kMultifdInitialBytes> out) noexcept {
  std::fill(out.begin(), out.end(), std::byte{0});
  put_magic(out.data());
  const auto uuid = std::as_bytes(std::span(initial.uuid));
  std::copy(uuid.begin(), uuid.end(), out.begin() + kUuidAt);
  out[kIdAt] = std::byte{initial.id};
}

Result<MultifdInitial> parse_multifd_initial(
    std::span<const std::byte, kMultifdInitialBytes> bytes) noexcept {
  TERN_TRY(check_magic(bytes.data()));
  MultifdInitial initial;
  const auto uuid = std::as_writable_bytes(std::span(initial.uuid));
  std::copy_n(bytes.begin() + kUuidAt, uuid.size(), uuid.begin());
  initial.id = std::to_integer<uint8_t>(bytes[kIdAt]);
  return initial;
}

void encode(const MultifdPacket& p, std::span<std::byte, kMultifdPacketBytes> out) noexcept {
  std::fill(out.begin(), out.end(), std::byte{0});
  put_magic(out.data());
  store_be(out.data() + kFlagsAt, p.flags);
  store_be(out.data() + kAllocAt, p.pages_alloc);
  store_be(out.data() + kNormalAt, p.normal);
  store_be(out.data() + kPayloadAt, p.payload_bytes);
  store_be(out.data() + kNumberAt, p.number);
  store_be(out.data() + kZeroAt, p.zero);
  const auto name = std::as_bytes(std::span(p.block)).first(std::min<size_t>(p.block.size(), 255));
  std::copy(name.begin(), name.end(), out.begin() + kNameAt);
  const size_t pages = std::min<size_t>(size_t{p.normal} + p.zero, kMultifdPages);
  for (size_t i = 0; i < pages; ++i) store_be(out.data() + kOffsetsAt + 8 * i, p.offsets[i]);
}

Result<uint32_t> parse_multifd_prefix(
    std::span<const std::byte, kMultifdPrefixBytes> bytes) noexcept {
  TERN_TRY(check_magic(bytes.data()));
  const auto flags = load_be<uint32_t>(bytes.data() + kFlagsAt);
  if ((flags & ~(kMultifdSync | kMultifdMethods | kMultifdDeviceState)) != 0) {
    return malformed("unknown flags " + std::to_string(flags));
  }
  const uint32_t method = flags & kMultifdMethods;
  if ((method & (method - 1)) != 0) {
    return malformed("flags " + std::to_string(flags) + " name two compression methods");
  }
  if ((flags & kMultifdDeviceState) != 0 && flags != kMultifdDeviceState) {
    return malformed("device state with other flags (" + std::to_string(flags) + ")");
  }
  return flags;
}

Result<MultifdPacket> parse_multifd_packet(
    std::span<const std::byte, kMultifdPacketBytes> bytes) noexcept {
  MultifdPacket p;
  p.flags = TERN_TRY(parse_multifd_prefix(bytes.first<kMultifdPrefixBytes>()));
  if (p.flags == kMultifdDeviceState) return malformed("device state where RAM must be");
  p.pages_alloc = load_be<uint32_t>(bytes.data() + kAllocAt);
  p.normal = load_be<uint32_t>(bytes.data() + kNormalAt);
  p.zero = load_be<uint32_t>(bytes.data() + kZeroAt);
  p.number = load_be<uint64_t>(bytes.data() + kNumberAt);
  TERN_TRY(check_counts(p));
  const auto payload = load_be<uint32_t>(bytes.data() + kPayloadAt);
  TERN_TRY(check_payload(p, payload));
  if (p.normal != 0) p.payload_bytes = payload;
  const size_t pages = size_t{p.normal} + p.zero;
  if (pages == 0) return p;
  p.block = TERN_TRY(name_of(bytes.subspan(kNameAt, kMultifdNameBytes), "RAM block name"));
  for (size_t i = 0; i < pages; ++i) {
    p.offsets[i] = load_be<uint64_t>(bytes.data() + kOffsetsAt + 8 * i);
    if (p.offsets[i] % kTargetPageBytes != 0) {
      return malformed("page offset " + std::to_string(p.offsets[i]) + " is not a page boundary");
    }
  }
  return p;
}

Result<MultifdDevicePacket> parse_multifd_device(
    std::span<const std::byte, kMultifdDeviceBytes> bytes) noexcept {
  const uint32_t flags = TERN_TRY(parse_multifd_prefix(bytes.first<kMultifdPrefixBytes>()));
  if (flags != kMultifdDeviceState) return malformed("RAM where device state must be");
  MultifdDevicePacket p;
  p.idstr = TERN_TRY(name_of(bytes.subspan(kMultifdPrefixBytes, kMultifdNameBytes), "device name"));
  p.instance_id = load_be<uint32_t>(bytes.data() + kMultifdPrefixBytes + kMultifdNameBytes);
  p.payload_bytes = load_be<uint32_t>(bytes.data() + kMultifdPrefixBytes + kMultifdNameBytes + 4);
  if (p.payload_bytes == 0) return malformed("empty device state");
  return p;
}

}  // namespace tern
