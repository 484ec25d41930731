// SPDX-License-Identifier: Apache-2.0
//
// The return path, both directions: messages from the destination to the source on the same
// connection.
//
//   be16 type  be16 length  payload
//
// QEMU 7.2 to 11.1: SHUT 1, PONG 2, REQ_PAGES_ID 3, REQ_PAGES 4, RECV_BITMAP 5, RESUME_ACK 6,
// SWITCHOVER_ACK 7 (8.1). tern's dialect (see framing.h): TERN_HELLO 0x5401, TERN_LOADED 0xd402.
// Limit: 512 bytes of payload.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/stream_io.h"
#include "tern/result.h"

namespace tern {

enum class ReturnType : uint16_t {
  shut = 1,
  pong = 2,
  req_pages_id = 3,
  req_pages = 4,
  recv_bitmap = 5,
  resume_ack = 6,
  switchover_ack = 7,
  tern_hello =
      0x5401,  // be16 oldest protocol, be16 newest, be32 features, cstr version: before PONG 'TERN'
  tern_loaded = 0xd402,  // nothing: everything is loaded and can run; waiting for tern-go
};

std::string return_type_name(uint16_t type) noexcept;
bool is_known_return_type(uint16_t type) noexcept;

struct ReturnMessage {
  uint16_t type = 0;
  std::vector<std::byte> payload;
};

/// Reads one message. Checks number and length; an unknown optional one of tern's is returned as it
/// is. RECV_BITMAP's bitmap follows outside the length and is not read.
Result<ReturnMessage> read_return_message(StreamReader& in) noexcept;
/// be32 payloads: shut, pong, resume_ack.
Result<void> write_return_be32(StreamWriter& out, ReturnType type, uint32_t value) noexcept;
Result<void> write_return_empty(StreamWriter& out, ReturnType type) noexcept;

struct TernHello {
  uint16_t oldest = 1;
  uint16_t newest = 1;
  uint32_t features = 0;
  std::string version;
};
Result<void> write_tern_hello(StreamWriter& out, const TernHello& hello) noexcept;
Result<TernHello> parse_tern_hello(const ReturnMessage& message) noexcept;

}  // namespace tern
