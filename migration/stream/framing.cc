// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/framing.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace tern {
namespace {

constexpr uint32_t kMaxCapabilities = 64;

// Lengths: -1 is "at least 1, the reader checks the inside".
struct CommandRow {
  Command command;
  std::string_view name;
  int length;
  int other_length;  // a second legal length, or the same
};
constexpr std::array<CommandRow, 14> kCommands = {{
    {Command::open_return_path, "open-return-path", 0, 0},
    {Command::ping, "ping", 4, 4},
    {Command::postcopy_advise, "postcopy-advise", 16, 0},
    {Command::postcopy_listen, "postcopy-listen", 0, 0},
    {Command::postcopy_run, "postcopy-run", 0, 0},
    {Command::postcopy_ram_discard, "postcopy-ram-discard", -1, -1},
    {Command::packaged, "packaged", 4, 4},
    {Command::enable_colo, "enable-colo", 0, 0},
    {Command::postcopy_resume, "postcopy-resume", 0, 0},
    {Command::recv_bitmap, "recv-bitmap", -1, -1},
    {Command::switchover_start, "switchover-start", 0, 0},
    {Command::tern_zero_run, "tern-zero-run", -1, -1},
    {Command::tern_dialect, "tern-dialect", 6, 6},
    {Command::tern_go, "tern-go", 0, 0},
}};

const CommandRow* find_command(uint16_t command) noexcept {
  for (const CommandRow& row : kCommands) {
    if (static_cast<uint16_t>(row.command) == command) return &row;
  }
  return nullptr;
}

Result<void> write_subsection_head(StreamWriter& out, std::string_view name) noexcept {
  TERN_TRY(out.put_u8(kItemSubsection));
  TERN_TRY(out.put_counted_string(name));
  return out.put_be32(1);
}

Result<void> read_subsection(StreamReader& in, Configuration& c) noexcept {
  const std::string name = TERN_TRY(in.counted_string("configuration subsection name"));
  const uint32_t version = TERN_TRY(in.be32("configuration subsection version"));
  if (version != 1) {
    return in.malformed("configuration subsection '" + name + "' has version " +
                        std::to_string(version) + ", 1 is known");
  }
  if (name == "configuration/target-page-bits") {
    c.page_bits = TERN_TRY(in.be32("target page bits"));
    return {};
  }
  if (name == "configuration/capabilities") {
    const uint32_t count = TERN_TRY(in.be32("capability count"));
    if (count > kMaxCapabilities) return in.malformed("more than 64 capabilities");
    c.capabilities.clear();
    for (uint32_t i = 0; i < count; ++i) {
      c.capabilities.push_back(TERN_TRY(in.counted_string("capability name")));
    }
    return {};
  }
  if (name == "configuration/uuid") {
    Uuid uuid{};
    TERN_TRY(in.read(std::as_writable_bytes(std::span(uuid)), "configuration uuid"));
    c.uuid = uuid;
    return {};
  }
  return in.malformed("unknown configuration subsection '" + name + "'");
}

}  // namespace

std::string command_name(uint16_t command) noexcept {
  if (const CommandRow* row = find_command(command)) return std::string(row->name);
  char text[24];
  std::snprintf(text, sizeof text, "command 0x%x", command);
  return text;
}

bool is_known_command(uint16_t command) noexcept { return find_command(command) != nullptr; }

Result<void> write_header(StreamWriter& out) noexcept {
  TERN_TRY(out.put_be32(kStreamMagic));
  return out.put_be32(kStreamVersion);
}

Result<void> read_header(StreamReader& in) noexcept {
  const uint32_t magic = TERN_TRY(in.be32("stream magic"));
  // A TLS record of a handshake begins with 16 03 and the version.
  if (magic >> 16 == 0x1603) {
    return in.malformed("the source speaks TLS: tls-creds is set there and not here");
  }
  if (magic != kStreamMagic) {
    char text[64];
    std::snprintf(text, sizeof text, "not a migration stream (magic 0x%08x, not QEVM)", magic);
    return in.malformed(text);
  }
  const uint32_t version = TERN_TRY(in.be32("stream version"));
  if (version != kStreamVersion) {
    return in.malformed("stream version " + std::to_string(version) + ", only 3 is known");
  }
  return {};
}

Result<void> write_configuration(StreamWriter& out, const Configuration& c) noexcept {
  TERN_TRY(out.put_u8(kItemConfiguration));
  TERN_TRY(out.put_be32(static_cast<uint32_t>(c.machine.size())));
  TERN_TRY(out.put(std::as_bytes(std::span(c.machine))));
  if (c.page_bits) {
    TERN_TRY(write_subsection_head(out, "configuration/target-page-bits"));
    TERN_TRY(out.put_be32(*c.page_bits));
  }
  if (!c.capabilities.empty()) {
    TERN_TRY(write_subsection_head(out, "configuration/capabilities"));
    TERN_TRY(out.put_be32(static_cast<uint32_t>(c.capabilities.size())));
    for (const std::string& name : c.capabilities) TERN_TRY(out.put_counted_string(name));
  }
  if (c.uuid) {
    TERN_TRY(write_subsection_head(out, "configuration/uuid"));
    TERN_TRY(out.put(std::as_bytes(std::span(*c.uuid))));
  }
  return {};
}

Result<Configuration> read_configuration(StreamReader& in) noexcept {
  Configuration c;
  const uint32_t length = TERN_TRY(in.be32("machine name length"));
  if (length == 0 || length > 255) {
    return in.malformed("machine name of " + std::to_string(length) +
                        " bytes, 1 to 255 are possible");
  }
  c.machine.resize(length);
  TERN_TRY(in.read(std::as_writable_bytes(std::span(c.machine)), "machine name"));
  // The end of the configuration shows only by the next byte not being a subsection. Repeats are
  // legal, but not for ever: three kinds exist.
  for (int i = 0; i < 16; ++i) {
    if (TERN_TRY(in.peek_u8("item after the configuration")) != kItemSubsection) return c;
    TERN_TRY(in.u8("subsection"));
    TERN_TRY(read_subsection(in, c));
  }
  return in.malformed("more than 16 configuration subsections");
}

Result<void> write_section_header(StreamWriter& out, uint8_t item,
                                  const SectionHeader& h) noexcept {
  TERN_TRY(out.put_u8(item));
  TERN_TRY(out.put_be32(h.section_id));
  TERN_TRY(out.put_counted_string(h.idstr));
  TERN_TRY(out.put_be32(h.instance_id));
  return out.put_be32(h.version_id);
}

Result<SectionHeader> read_section_header(StreamReader& in) noexcept {
  SectionHeader h;
  h.section_id = TERN_TRY(in.be32("section id"));
  h.idstr = TERN_TRY(in.counted_string("section name"));
  h.instance_id = TERN_TRY(in.be32("section instance"));
  h.version_id = TERN_TRY(in.be32("section version"));
  return h;
}

Result<void> write_section_part(StreamWriter& out, uint8_t item, uint32_t section_id) noexcept {
  TERN_TRY(out.put_u8(item));
  return out.put_be32(section_id);
}

Result<void> write_footer(StreamWriter& out, uint32_t section_id) noexcept {
  TERN_TRY(out.put_u8(kItemFooter));
  return out.put_be32(section_id);
}

Result<void> read_footer(StreamReader& in, uint32_t section_id, std::string_view idstr) noexcept {
  const uint8_t mark = TERN_TRY(in.u8("section footer"));
  if (mark != kItemFooter) {
    return in.malformed("section '" + std::string(idstr) + "' has no footer (found byte " +
                        std::to_string(mark) + ")");
  }
  const uint32_t id = TERN_TRY(in.be32("section footer"));
  if (id != section_id) {
    return in.malformed("footer of section " + std::to_string(id) + " after section '" +
                        std::string(idstr) + "' (" + std::to_string(section_id) + ")");
  }
  return {};
}

Result<void> write_command(StreamWriter& out, Command command,
                           std::span<const std::byte> payload) noexcept {
  TERN_TRY(out.put_u8(kItemCommand));
  TERN_TRY(out.put_be16(static_cast<uint16_t>(command)));
  TERN_TRY(out.put_be16(static_cast<uint16_t>(payload.size())));
  return out.put(payload);
}

Result<CommandHeader> read_command_header(StreamReader& in) noexcept {
  CommandHeader h;
  h.command = TERN_TRY(in.be16("command number"));
  const CommandRow* row = find_command(h.command);
  if (row == nullptr) {
    const bool ours = (h.command & 0x7f00) == 0x5400;
    if (!ours || (h.command & kMandatoryBit) != 0)
      return in.malformed("unknown " + command_name(h.command));
  }
  h.length = TERN_TRY(in.be16("command length"));
  if (row == nullptr) return h;
  const bool fits =
      row->length < 0 ? h.length > 0 : (h.length == row->length || h.length == row->other_length);
  if (!fits) {
    return in.malformed("command " + std::string(row->name) + " with " + std::to_string(h.length) +
                        " bytes");
  }
  return h;
}

Result<void> write_tern_dialect(StreamWriter& out, const TernDialect& dialect) noexcept {
  std::byte payload[6];
  store_be(payload, dialect.protocol);
  store_be(payload + 2, dialect.features);
  return write_command(out, Command::tern_dialect, payload);
}

Result<TernDialect> read_tern_dialect(StreamReader& in) noexcept {
  TernDialect dialect;
  dialect.protocol = TERN_TRY(in.be16("dialect protocol"));
  dialect.features = TERN_TRY(in.be32("dialect features"));
  if (dialect.protocol == 0 || dialect.protocol > kTernProtocol) {
    return in.malformed("tern dialect " + std::to_string(dialect.protocol) + " is not known here");
  }
  if ((dialect.features & ~kTernFeatures) != 0)
    return in.malformed("unknown features of tern's dialect");
  return dialect;
}

}  // namespace tern
