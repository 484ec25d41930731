// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_multifd.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace tern::tool {
namespace {

struct Flag {
  uint32_t bit;
  std::string_view name;
};
constexpr std::array<Flag, 7> kFlags = {{{kMultifdSync, "sync"},
                                         {kMultifdZlib, "zlib"},
                                         {kMultifdZstd, "zstd"},
                                         {0x08, "qpl"},
                                         {0x10, "uadk"},
                                         {0x20, "qatzip"},
                                         {kMultifdDeviceState, "device-state"}}};

struct Totals {
  uint64_t packets = 0;
  uint64_t syncs = 0;
  uint64_t normal = 0;
  uint64_t zero = 0;
  uint64_t payload_bytes = 0;
};

// What `parse` makes of the next bytes, which are not taken. A wrong field of the prefix is told
// even where the file ends behind it.
template <size_t kBytes, class T>
Result<T> look(StreamReader& in,
               Result<T> (*parse)(std::span<const std::byte, kBytes>, size_t*) noexcept) noexcept {
  std::array<std::byte, kBytes> bytes{};
  const auto there = TERN_TRY(in.peek(kBytes));
  std::copy(there.begin(), there.end(), bytes.begin());
  const size_t got = there.size();
  size_t wrong_at = 0;
  auto parsed = parse(bytes, &wrong_at);
  constexpr size_t kWord = 4;
  const bool is_there = wrong_at < kMultifdPrefixBytes && wrong_at + kWord <= got;
  if (!parsed && (got == kBytes || is_there)) {
    TERN_TRY(in.take(wrong_at, "packet"));
    TERN_TRY(in.take(kWord, "packet"));  // now the error is at this field
    return in.malformed(parsed.error().message());
  }
  if (got < kBytes) TERN_TRY(in.take(kBytes, "packet"));  // says that it ends here
  return parsed;
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
  const MultifdInitial initial = TERN_TRY(look(in, parse_multifd_initial));
  TERN_TRY(in.take(kMultifdInitialBytes, "initial packet"));
  std::string text;
  for (const uint8_t b : initial.uuid) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  context.out.item(at, "initial-packet", Json{{"channel", initial.id}, {"uuid", text}});
  return {};
}

Result<void> device_packet(StreamReader& in, InspectContext& context, Totals& totals) noexcept {
  const uint64_t at = in.offset();
  const MultifdDevicePacket p = TERN_TRY(look(in, parse_multifd_device));
  TERN_TRY(in.take(kMultifdDeviceBytes, "device state packet"));
  context.out.item(
      at, "device-state-packet",
      Json{{"idstr", p.idstr}, {"instance_id", p.instance_id}, {"payload_bytes", p.payload_bytes}});
  totals.payload_bytes += p.payload_bytes;
  return skip_payload(in, p.payload_bytes);
}

Json describe(const MultifdPacket& p, bool verbose) noexcept {
  Json names = Json::array();
  for (const Flag& f : kFlags) {
    if ((p.flags & f.bit) != 0) names.push_back(f.name);
  }
  Json head{{"number", p.number},
            {"flags", std::move(names)},
            {"pages_alloc", p.pages_alloc},
            {"normal", p.normal},
            {"zero", p.zero},
            {"payload_bytes", p.payload_bytes}};
  const std::vector<uint64_t> list(p.offsets.begin(), p.offsets.begin() + p.normal + p.zero);
  if (list.empty()) return head;
  head["block"] = p.block;
  const auto [first, last] = std::minmax_element(list.begin(), list.end());
  head["first"] = *first;
  head["last"] = *last;
  if (verbose) head["addresses"] = list;
  return head;
}

Result<void> packet(StreamReader& in, InspectContext& context, Totals& totals) noexcept {
  const uint32_t flags = TERN_TRY(look(in, parse_multifd_prefix));
  ++totals.packets;
  if (flags == kMultifdDeviceState) return device_packet(in, context, totals);
  const uint64_t at = in.offset();
  const MultifdPacket p = TERN_TRY(look(in, parse_multifd_packet));
  TERN_TRY(in.take(kMultifdPacketBytes, "packet"));
  context.out.item(at, "packet", describe(p, context.options.verbose));
  totals.syncs += (p.flags & kMultifdSync) != 0 ? 1 : 0;
  totals.normal += p.normal;
  totals.zero += p.zero;
  totals.payload_bytes += p.payload_bytes;
  return skip_payload(in, p.payload_bytes);
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
