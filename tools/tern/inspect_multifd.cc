// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_multifd.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tern/ram_block.h"

namespace tern::tool {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kPagesPerPacket = 128;
constexpr size_t kNameBytes = 256;
constexpr uint32_t kMaxPayload = 2 * kPagesPerPacket * kTargetPageBytes;

struct Flag {
  uint32_t bit;
  std::string_view name;
};
constexpr uint32_t kSync = 0x01;
constexpr uint32_t kMethods = 0x3e;
constexpr uint32_t kDeviceState = 0x40;
constexpr std::array<Flag, 7> kFlags = {{{kSync, "sync"},
                                         {0x02, "zlib"},
                                         {0x04, "zstd"},
                                         {0x08, "qpl"},
                                         {0x10, "uadk"},
                                         {0x20, "qatzip"},
                                         {kDeviceState, "device-state"}}};

struct Totals {
  uint64_t packets = 0;
  uint64_t syncs = 0;
  uint64_t normal = 0;
  uint64_t zero = 0;
  uint64_t payload_bytes = 0;
};

Result<void> magic(StreamReader& in) noexcept {
  const uint32_t word = TERN_TRY(in.be32("packet magic"));
  if (word != kMultifdMagic) return in.malformed("packet without the magic 0x11223344");
  const uint32_t version = TERN_TRY(in.be32("packet version"));
  if (version != kVersion) return in.malformed("packet version " + std::to_string(version));
  return {};
}

Result<std::string> fixed_name(StreamReader& in, std::string_view what, bool required) noexcept {
  const auto bytes = TERN_TRY(in.take(kNameBytes, what));
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  if (!required) return std::string();  // whatever was in the sender's memory
  if (end == bytes.end()) return in.malformed(std::string(what) + " is not NUL-terminated");
  if (end == bytes.begin()) return in.malformed(std::string(what) + " is empty");
  return std::string(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<size_t>(end - bytes.begin()));
}

Result<void> skip_payload(StreamReader& in, uint32_t bytes) noexcept {
  while (bytes > 0) {
    const auto got = TERN_TRY(in.take(std::min<uint32_t>(bytes, 1u << 16), "packet payload"));
    bytes -= static_cast<uint32_t>(got.size());
  }
  return {};
}

Result<void> initial_packet(StreamReader& in, InspectContext& context) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(magic(in));
  const auto uuid = TERN_TRY(in.take(16, "source UUID"));
  std::string text;
  for (const std::byte b : uuid) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<size_t>(b) >> 4];
    text += kDigits[std::to_integer<size_t>(b) & 15];
  }
  const uint8_t id = TERN_TRY(in.u8("channel number"));
  TERN_TRY(in.take(39, "initial packet"));
  context.out.item(at, "initial-packet", Json{{"channel", id}, {"uuid", text}});
  return {};
}

Result<void> device_packet(StreamReader& in, InspectContext& context, uint64_t at,
                           Totals& totals) noexcept {
  const std::string idstr = TERN_TRY(fixed_name(in, "device name", true));
  const uint32_t instance = TERN_TRY(in.be32("device instance"));
  const uint32_t bytes = TERN_TRY(in.be32("device state length"));
  if (bytes == 0) return in.malformed("empty device state packet");
  context.out.item(at, "device-state-packet",
                   Json{{"idstr", idstr}, {"instance_id", instance}, {"payload_bytes", bytes}});
  totals.payload_bytes += bytes;
  return skip_payload(in, bytes);
}

Result<void> check_counts(StreamReader& in, uint32_t alloc, uint32_t normal,
                          uint32_t zero) noexcept {
  if (alloc > kPagesPerPacket || normal > kPagesPerPacket || zero > kPagesPerPacket - normal) {
    return in.malformed("packet of " + std::to_string(normal) + " normal and " +
                        std::to_string(zero) + " zero pages, allocated " + std::to_string(alloc));
  }
  return {};
}

// The offsets of the pages, in order; the rest of the table is whatever was in the sender's memory.
Result<std::vector<uint64_t>> offsets(StreamReader& in, uint32_t count) noexcept {
  std::vector<uint64_t> list;
  for (uint32_t i = 0; i < kPagesPerPacket; ++i) {
    const uint64_t offset = TERN_TRY(in.be64("page offsets"));
    if (i >= count) continue;
    if (offset % kTargetPageBytes != 0) {
      return in.malformed("page offset " + std::to_string(offset) + " is not a page boundary");
    }
    list.push_back(offset);
  }
  return list;
}

Result<void> ram_packet(StreamReader& in, InspectContext& context, uint64_t at, uint32_t flags,
                        Totals& totals) noexcept {
  const uint32_t alloc = TERN_TRY(in.be32("pages allocated"));
  const uint32_t normal = TERN_TRY(in.be32("normal pages"));
  uint32_t payload = TERN_TRY(in.be32("payload length"));
  const uint64_t number = TERN_TRY(in.be64("packet number"));
  const uint32_t zero = TERN_TRY(in.be32("zero pages"));
  TERN_TRY(check_counts(in, alloc, normal, zero));
  TERN_TRY(in.take(28, "packet header"));
  const uint32_t pages = normal + zero;
  const std::string block = TERN_TRY(fixed_name(in, "RAM block name", pages > 0));
  const std::vector<uint64_t> list = TERN_TRY(offsets(in, pages));
  if (normal == 0) payload = 0;
  if (payload > kMaxPayload)
    return in.malformed("payload of " + std::to_string(payload) + " bytes");
  if ((flags & kMethods) == 0 && payload != normal * kTargetPageBytes) {
    return in.malformed("payload of " + std::to_string(payload) + " bytes for " +
                        std::to_string(normal) + " pages");
  }
  Json names = Json::array();
  for (const Flag& f : kFlags) {
    if ((flags & f.bit) != 0) names.push_back(f.name);
  }
  Json head{{"number", number},     {"flags", std::move(names)},
            {"pages_alloc", alloc}, {"normal", normal},
            {"zero", zero},         {"payload_bytes", payload}};
  if (!list.empty()) {
    head["block"] = block;
    const auto [first, last] = std::minmax_element(list.begin(), list.end());
    head["first"] = *first;
    head["last"] = *last;
    if (context.options.verbose) head["addresses"] = list;
  }
  context.out.item(at, "packet", head);
  totals.syncs += (flags & kSync) != 0 ? 1 : 0;
  totals.normal += normal;
  totals.zero += zero;
  totals.payload_bytes += payload;
  return skip_payload(in, payload);
}

Result<void> packet(StreamReader& in, InspectContext& context, Totals& totals) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(magic(in));
  const uint32_t flags = TERN_TRY(in.be32("packet flags"));
  if ((flags & ~(kSync | kMethods | kDeviceState)) != 0) {
    return in.malformed("packet with unknown flags " + std::to_string(flags));
  }
  ++totals.packets;
  if ((flags & kDeviceState) == 0) return ram_packet(in, context, at, flags, totals);
  if (flags != kDeviceState) return in.malformed("device state packet with other flags");
  return device_packet(in, context, at, totals);
}

}  // namespace

Result<void> walk_multifd(StreamReader& in, InspectContext& context) noexcept {
  Totals totals;
  Result<void> walked = initial_packet(in, context);
  while (walked) {
    const auto over = in.at_end();
    if (!over) walked = over.error();
    if (!over || *over) break;
    walked = packet(in, context, totals);
  }
  context.summary["packets"] = totals.packets;
  context.summary["syncs"] = totals.syncs;
  context.summary["normal"] = totals.normal;
  context.summary["zero"] = totals.zero;
  context.summary["payload_bytes"] = totals.payload_bytes;
  return walked;
}

}  // namespace tern::tool
