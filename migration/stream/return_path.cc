// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/return_path.h"

#include <array>
#include <cstdio>

#include "migration/stream/framing.h"

namespace tern {
namespace {

constexpr uint16_t kMaxPayload = 512;

struct TypeRow {
  ReturnType type;
  std::string_view name;
  int min;
  int max;
};
constexpr std::array<TypeRow, 9> kTypes = {{
    {ReturnType::shut, "shut", 4, 4},
    {ReturnType::pong, "pong", 4, 4},
    {ReturnType::req_pages_id, "req-pages-id", 14, 13 + 255},
    {ReturnType::req_pages, "req-pages", 12, 12},
    {ReturnType::recv_bitmap, "recv-bitmap", 2, 256},
    {ReturnType::resume_ack, "resume-ack", 4, 4},
    {ReturnType::switchover_ack, "switchover-ack", 0, 0},
    {ReturnType::tern_hello, "tern-hello", 9, kMaxPayload},
    {ReturnType::tern_loaded, "tern-loaded", 0, kMaxPayload},
}};

const TypeRow* find_type(uint16_t type) noexcept {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint16_t>(row.type) == type) return &row;
  }
  return nullptr;
}

Result<void> write_head(StreamWriter& out, ReturnType type, size_t length) noexcept {
  TERN_TRY(out.put_be16(static_cast<uint16_t>(type)));
  return out.put_be16(static_cast<uint16_t>(length));
}

}  // namespace

std::string return_type_name(uint16_t type) noexcept {
  if (const TypeRow* row = find_type(type)) return std::string(row->name);
  char text[24];
  std::snprintf(text, sizeof text, "message 0x%x", type);
  return text;
}

bool is_known_return_type(uint16_t type) noexcept { return find_type(type) != nullptr; }

Result<ReturnMessage> read_return_message(StreamReader& in) noexcept {
  ReturnMessage m;
  m.type = TERN_TRY(in.be16("return path message type"));
  const TypeRow* row = find_type(m.type);
  const bool ours = (m.type & 0x7f00) == 0x5400;
  if (row == nullptr && (!ours || (m.type & kMandatoryBit) != 0)) {
    return in.malformed("unknown return path " + return_type_name(m.type));
  }
  const uint16_t length = TERN_TRY(in.be16("return path message length"));
  if (row == nullptr) {
    if (length > kMaxPayload) return in.malformed("return path message of more than 512 bytes");
  } else if (length < row->min || length > row->max) {
    return in.malformed("return path message " + std::string(row->name) + " with " +
                        std::to_string(length) + " bytes");
  }
  m.payload.resize(length);
  TERN_TRY(in.read(m.payload, "return path message"));
  return m;
}

Result<void> write_return_be32(StreamWriter& out, ReturnType type, uint32_t value) noexcept {
  TERN_TRY(write_head(out, type, 4));
  return out.put_be32(value);
}

Result<void> write_return_empty(StreamWriter& out, ReturnType type) noexcept {
  return write_head(out, type, 0);
}

Result<void> write_tern_hello(StreamWriter& out, const TernHello& hello) noexcept {
  TERN_TRY(write_head(out, ReturnType::tern_hello, 9 + hello.version.size()));
  TERN_TRY(out.put_be16(hello.oldest));
  TERN_TRY(out.put_be16(hello.newest));
  TERN_TRY(out.put_be32(hello.features));
  return out.put_counted_string(hello.version);
}

Result<TernHello> parse_tern_hello(const ReturnMessage& m) noexcept {
  const auto bad = [](const char* why) {
    return Error(ErrorCode::peer_protocol, std::string("return path message tern-hello: ") + why);
  };
  if (m.payload.size() < 9) return bad("too short");
  TernHello hello;
  hello.oldest = load_be<uint16_t>(m.payload.data());
  hello.newest = load_be<uint16_t>(m.payload.data() + 2);
  hello.features = load_be<uint32_t>(m.payload.data() + 4);
  const size_t n = std::to_integer<size_t>(m.payload[8]);
  // Newer versions may say more behind the string; it is theirs to be skipped.
  if (n == 0 || m.payload.size() < 9 + n) return bad("version string cut short");
  for (size_t i = 0; i < n; ++i) {
    const auto c = std::to_integer<unsigned char>(m.payload[9 + i]);
    if (c < 0x20 || c > 0x7e) return bad("version string is not text");
    hello.version += static_cast<char>(c);
  }
  if (hello.oldest == 0 || hello.oldest > hello.newest) return bad("protocol range is empty");
  return hello;
}

}  // namespace tern
