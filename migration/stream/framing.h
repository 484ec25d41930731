// SPDX-License-Identifier: Apache-2.0
//
// The frame of the main migration stream, both directions: header, configuration, section headers,
// footers, commands. Bodies of sections are elsewhere (ram/wire, device sections).
//
//   stream      = "QEVM" be32 3  [07 configuration]  item*  00  [06 be32 n JSON]
//   item        = 01|04 be32 section_id cstr idstr be32 instance_id be32 version_id  body  7e be32 section_id
//               | 02|03 be32 section_id                                             body  7e be32 section_id
//               | 08 be16 command be16 length payload
//   configuration = be32 n name  { 05 cstr subsection be32 version body }*
//
// Spoken by QEMU 2.4 to 11.1 like this. There is no length and no checksum but the footer.
//
// tern's dialect. A tern source with a return path sends PING 'TERN' (0x5445524e) after PING 1;
// every QEMU answers it like any ping, a tern destination sends TERN_HELLO before that PONG. From
// then on, and only then, commands and return-path messages with the numbers below may be used. Bit
// 15 of a number says that a receiver which does not know it must refuse the migration; without it
// the message is skipped. That is how version N talks to N-1.
//
// Limits: names 255 bytes, command payload 65535 by its field, less by the table; at most 64
// capabilities.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream_io.h"
#include "tern/machine.h"
#include "tern/result.h"

namespace tern {

inline constexpr uint32_t kStreamMagic = 0x5145564d;  // "QEVM"
inline constexpr uint32_t kStreamVersion = 3;

inline constexpr uint8_t kItemEof = 0x00;
inline constexpr uint8_t kItemSectionStart = 0x01;
inline constexpr uint8_t kItemSectionPart = 0x02;
inline constexpr uint8_t kItemSectionEnd = 0x03;
inline constexpr uint8_t kItemSectionFull = 0x04;
inline constexpr uint8_t kItemSubsection = 0x05;
inline constexpr uint8_t kItemVmDescription = 0x06;
inline constexpr uint8_t kItemConfiguration = 0x07;
inline constexpr uint8_t kItemCommand = 0x08;
inline constexpr uint8_t kItemFooter = 0x7e;

enum class Command : uint16_t {
  open_return_path = 1,
  ping = 2,
  postcopy_advise = 3,
  postcopy_listen = 4,
  postcopy_run = 5,
  postcopy_ram_discard = 6,
  packaged = 7,
  enable_colo = 8,
  postcopy_resume = 9,
  recv_bitmap = 10,
  switchover_start = 11,
  // tern's dialect
  tern_zero_run =
      0x5402,  // cstr block, (be64 start, be64 length)+: never touched on the source, zero them
  tern_dialect = 0xd401,  // be16 protocol, be32 features: the source's choice; from here on the
                          // dialect is spoken
  tern_go = 0xd403,       // nothing: start the guest
};
inline constexpr uint16_t kMandatoryBit = 0x8000;

/// "ping"; for unknown numbers "command 0x…".
std::string command_name(uint16_t command) noexcept;

inline constexpr uint32_t kTernPing = 0x5445524e;  // "TERN"
inline constexpr uint32_t kKeepAlivePing =
    0x5445524b;  // "TERK": liveness while nothing else is sent
inline constexpr uint16_t kTernProtocol = 1;
inline constexpr uint32_t kFeatureZeroRun = 1u << 0;
inline constexpr uint32_t kFeatureGo = 1u << 1;
/// Packets that are not compressed may stand between compressed ones of a multifd channel.
inline constexpr uint32_t kFeatureMixedMethods = 1u << 2;
inline constexpr uint32_t kTernFeatures = kFeatureZeroRun | kFeatureGo | kFeatureMixedMethods;

/// What the configuration section says.
struct Configuration {
  std::string machine;
  std::vector<std::string> capabilities;  // those that both sides must agree on; empty: none is on
  std::optional<uint32_t> page_bits;
  std::optional<Uuid> uuid;
};

struct SectionHeader {
  uint32_t section_id = 0;
  std::string idstr;
  uint32_t instance_id = 0;
  uint32_t version_id = 0;
};

struct CommandHeader {
  uint16_t command = 0;
  uint16_t length = 0;
};

Result<void> write_header(StreamWriter& out) noexcept;
Result<void> read_header(StreamReader& in) noexcept;

Result<void> write_configuration(StreamWriter& out, const Configuration& configuration) noexcept;
/// After the item byte 07.
Result<Configuration> read_configuration(StreamReader& in) noexcept;

/// `item` is kItemSectionStart or kItemSectionFull.
Result<void> write_section_header(StreamWriter& out, uint8_t item,
                                  const SectionHeader& header) noexcept;
/// After the item byte.
Result<SectionHeader> read_section_header(StreamReader& in) noexcept;
Result<void> write_section_part(StreamWriter& out, uint8_t item, uint32_t section_id) noexcept;
Result<void> write_footer(StreamWriter& out, uint32_t section_id) noexcept;
Result<void> read_footer(StreamReader& in, uint32_t section_id, std::string_view idstr) noexcept;

Result<void> write_command(StreamWriter& out, Command command,
                           std::span<const std::byte> payload) noexcept;
/// After the item byte 08. Checks the number and the length against the table; the payload is still
/// to be read. An unknown optional command (tern's range, bit 15 clear) is returned as it is.
Result<CommandHeader> read_command_header(StreamReader& in) noexcept;
/// Whether the number is one of Command.
bool is_known_command(uint16_t command) noexcept;

struct TernDialect {
  uint16_t protocol = kTernProtocol;
  uint32_t features = 0;
};
Result<void> write_tern_dialect(StreamWriter& out, const TernDialect& dialect) noexcept;
Result<TernDialect> read_tern_dialect(StreamReader& in) noexcept;

}  // namespace tern
