// SPDX-License-Identifier: Apache-2.0
#include "ram/wire/multifd_packet.h"

#include <algorithm>
#include <string_view>

#include "base/wire_int.h"

namespace tern {
namespace {

constexpr uint32_t kVersion = 1;
// Offsets of fields.
constexpr size_t kVersionAt = 4;
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
constexpr size_t kInstanceAt = kMultifdPrefixBytes + kMultifdNameBytes;
constexpr size_t kDevicePayloadAt = kInstanceAt + 4;

void put_magic(std::byte* out) noexcept {
  store_be(out, kMultifdMagic);
  store_be(out + 4, kVersion);
}

// Says what is wrong with a field, and where it begins.
class Fault {
 public:
  explicit Fault(size_t* wrong_at) noexcept : wrong_at_(wrong_at) {}
  Error operator()(size_t at, std::string why) const noexcept {
    if (wrong_at_ != nullptr) *wrong_at_ = at;
    return Error(ErrorCode::peer_protocol, std::move(why));
  }

 private:
  size_t* const wrong_at_;
};

Result<void> check_magic(const std::byte* bytes, Fault fault) noexcept {
  if (const auto magic = load_be<uint32_t>(bytes); magic != kMultifdMagic) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    for (int shift = 28; shift >= 0; shift -= 4) hex += kDigits[magic >> shift & 15];
    return fault(0, "packet without the magic 0x11223344 (0x" + hex + ")");
  }
  if (const auto version = load_be<uint32_t>(bytes + kVersionAt); version != kVersion) {
    return fault(kVersionAt, "packet version " + std::to_string(version) + ", only 1 is known");
  }
  return {};
}

Result<std::string> name_at(std::span<const std::byte> bytes, size_t at, std::string_view what,
                            Fault fault) noexcept {
  const auto field = bytes.subspan(at, kMultifdNameBytes);
  const auto end = std::find(field.begin(), field.end(), std::byte{0});
  if (end == field.end()) return fault(at, std::string(what) + " is not NUL-terminated");
  if (end == field.begin()) return fault(at, std::string(what) + " is empty");
  return std::string(reinterpret_cast<const char*>(field.data()),
                     static_cast<size_t>(end - field.begin()));
}

// The SYNC packets of QEMU 9.0 and later are allocated 0 pages; others have room for what they
// carry.
Result<void> check_counts(const MultifdPacket& p, Fault fault) noexcept {
  const bool no_such_packet = p.pages_alloc > kMultifdPages;
  const bool too_many_normal = p.normal > p.pages_alloc;
  if (!no_such_packet && !too_many_normal && p.zero <= p.pages_alloc - p.normal) return {};
  return fault(no_such_packet    ? kAllocAt
               : too_many_normal ? kNormalAt
                                 : kZeroAt,
               "packet of " + std::to_string(p.normal) + " normal and " + std::to_string(p.zero) +
                   " zero pages, allocated " + std::to_string(p.pages_alloc) + " (128 at most)");
}

Result<void> check_payload(const MultifdPacket& p, uint32_t field, Fault fault) noexcept {
  const std::string what = "payload of " + std::to_string(field) + " bytes";
  if (p.normal == 0) {
    // Left over from an earlier packet, unless there are zero pages: then it must say the truth.
    if (p.zero != 0 && field != 0) return fault(kPayloadAt, what + " without normal pages");
    return {};
  }
  const bool plain = (p.flags & kMultifdMethods) == 0;
  if (plain && field != p.normal * kTargetPageBytes) {
    return fault(kPayloadAt, what + " for " + std::to_string(p.normal) + " pages");
  }
  if (field == 0 || field > kMultifdMaxPayload) {
    return fault(kPayloadAt, what + ", 1.." + std::to_string(kMultifdMaxPayload) + " are possible");
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

Result<MultifdInitial> parse_multifd_initial(std::span<const std::byte, kMultifdInitialBytes> bytes,
                                             size_t* wrong_at) noexcept {
  TERN_TRY(check_magic(bytes.data(), Fault(wrong_at)));
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

Result<uint32_t> parse_multifd_prefix(std::span<const std::byte, kMultifdPrefixBytes> bytes,
                                      size_t* wrong_at) noexcept {
  const Fault fault(wrong_at);
  TERN_TRY(check_magic(bytes.data(), fault));
  const auto flags = load_be<uint32_t>(bytes.data() + kFlagsAt);
  if ((flags & ~(kMultifdSync | kMultifdMethods | kMultifdDeviceState)) != 0) {
    return fault(kFlagsAt, "packet with unknown flags " + std::to_string(flags));
  }
  const uint32_t method = flags & kMultifdMethods;
  if ((method & (method - 1)) != 0) {
    return fault(kFlagsAt,
                 "packet with flags " + std::to_string(flags) + ", of two compression methods");
  }
  if ((flags & kMultifdDeviceState) != 0 && flags != kMultifdDeviceState) {
    return fault(kFlagsAt, "device state packet with other flags (" + std::to_string(flags) + ")");
  }
  return flags;
}

Result<MultifdPacket> parse_multifd_packet(std::span<const std::byte, kMultifdPacketBytes> bytes,
                                           size_t* wrong_at) noexcept {
  const Fault fault(wrong_at);
  MultifdPacket p;
  p.flags = TERN_TRY(parse_multifd_prefix(bytes.first<kMultifdPrefixBytes>(), wrong_at));
  if (p.flags == kMultifdDeviceState) return fault(kFlagsAt, "device state where RAM must be");
  p.pages_alloc = load_be<uint32_t>(bytes.data() + kAllocAt);
  p.normal = load_be<uint32_t>(bytes.data() + kNormalAt);
  p.zero = load_be<uint32_t>(bytes.data() + kZeroAt);
  p.number = load_be<uint64_t>(bytes.data() + kNumberAt);
  TERN_TRY(check_counts(p, fault));
  const auto payload = load_be<uint32_t>(bytes.data() + kPayloadAt);
  TERN_TRY(check_payload(p, payload, fault));
  if (p.normal != 0) p.payload_bytes = payload;
  const size_t pages = size_t{p.normal} + p.zero;
  if (pages == 0) return p;
  p.block = TERN_TRY(name_at(bytes, kNameAt, "RAM block name", fault));
  for (size_t i = 0; i < pages; ++i) {
    const size_t at = kOffsetsAt + 8 * i;
    p.offsets[i] = load_be<uint64_t>(bytes.data() + at);
    if (p.offsets[i] % kTargetPageBytes != 0) {
      return fault(at, "page offset " + std::to_string(p.offsets[i]) + " is not a page boundary");
    }
  }
  return p;
}

Result<MultifdDevicePacket> parse_multifd_device(
    std::span<const std::byte, kMultifdDeviceBytes> bytes, size_t* wrong_at) noexcept {
  const Fault fault(wrong_at);
  const uint32_t flags =
      TERN_TRY(parse_multifd_prefix(bytes.first<kMultifdPrefixBytes>(), wrong_at));
  if (flags != kMultifdDeviceState) return fault(kFlagsAt, "RAM where device state must be");
  MultifdDevicePacket p;
  p.idstr = TERN_TRY(name_at(bytes, kMultifdPrefixBytes, "device name", fault));
  p.instance_id = load_be<uint32_t>(bytes.data() + kInstanceAt);
  p.payload_bytes = load_be<uint32_t>(bytes.data() + kDevicePayloadAt);
  if (p.payload_bytes == 0) return fault(kDevicePayloadAt, "empty device state packet");
  return p;
}

}  // namespace tern
