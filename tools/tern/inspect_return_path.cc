// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_return_path.h"

#include <algorithm>
#include <bit>
#include <string>

#include "migration/stream/framing.h"
#include "migration/stream/return_path.h"

namespace tern::tool {
namespace {

constexpr uint64_t kBitmapEndMark = 0x0123456789abcdef;

// cstr at `at` that fills the payload exactly.
Result<std::string> name_in(StreamReader& in, const ReturnMessage& m, size_t at) noexcept {
  const size_t n = std::to_integer<size_t>(m.payload[at]);
  if (n == 0 || at + 1 + n != m.payload.size()) {
    return in.malformed("block name does not fill the message");
  }
  return std::string(reinterpret_cast<const char*>(m.payload.data()) + at + 1, n);
}

Result<void> bitmap(StreamReader& in, Json& j) noexcept {
  const uint64_t size = TERN_TRY(in.be64("received bitmap size"));
  if (size == 0 || size % 8 != 0)
    return in.malformed("received bitmap of " + std::to_string(size) + " bytes");
  uint64_t received = 0;
  for (uint64_t left = size; left > 0;) {
    const auto bytes = TERN_TRY(in.take(std::min<uint64_t>(left, 4096), "received bitmap"));
    for (const std::byte b : bytes)
      received += static_cast<uint64_t>(std::popcount(std::to_integer<unsigned>(b)));
    left -= bytes.size();
  }
  if (TERN_TRY(in.be64("received bitmap end mark")) != kBitmapEndMark) {
    return in.malformed("received bitmap without its end mark");
  }
  j["bitmap_bytes"] = size;
  j["pages_received"] = received;
  return {};
}

Result<Json> decode(StreamReader& in, const ReturnMessage& m) noexcept {
  Json j = Json::object();
  const std::byte* p = m.payload.data();
  switch (static_cast<ReturnType>(m.type)) {
    case ReturnType::shut:
      j["value"] = load_be<uint32_t>(p);
      j["meaning"] = load_be<uint32_t>(p) == 0 ? "success" : "failure";
      return j;
    case ReturnType::pong: {
      const uint32_t value = load_be<uint32_t>(p);
      j["value"] = value;
      if (value == kTernPing) j["meaning"] = "answer to tern's question";
      if (value == kKeepAlivePing) j["meaning"] = "keep-alive of tern";
      return j;
    }
    case ReturnType::resume_ack:
      j["value"] = load_be<uint32_t>(p);
      if (j["value"] != 1) return in.malformed("resume-ack with a value that is not 1");
      return j;
    case ReturnType::req_pages_id:
    case ReturnType::req_pages:
      j["start"] = load_be<uint64_t>(p);
      j["length"] = load_be<uint32_t>(p + 8);
      if (static_cast<ReturnType>(m.type) == ReturnType::req_pages_id)
        j["block"] = TERN_TRY(name_in(in, m, 12));
      return j;
    case ReturnType::recv_bitmap:
      j["block"] = TERN_TRY(name_in(in, m, 0));
      TERN_TRY(bitmap(in, j));
      return j;
    case ReturnType::switchover_ack:
    case ReturnType::tern_loaded:
      return j;
    case ReturnType::tern_hello: {
      const auto hello = parse_tern_hello(m);
      if (!hello) return in.malformed(hello.error().message());
      j["oldest_protocol"] = hello->oldest;
      j["newest_protocol"] = hello->newest;
      j["features"] = hello->features;
      j["version"] = hello->version;
      return j;
    }
  }
  j["payload_bytes"] = m.payload.size();
  return j;
}

}  // namespace

Result<void> walk_return_path(StreamReader& in, InspectContext& context) noexcept {
  uint64_t messages = 0;
  bool shut = false;
  while (!TERN_TRY(in.at_end())) {
    const uint64_t at = in.offset();
    TERN_TRY(in.peek_u8("return path message"));
    if (shut) return in.malformed("message after shut");
    const ReturnMessage m = TERN_TRY(read_return_message(in));
    const Json j = TERN_TRY(decode(in, m));
    context.out.item(at, return_type_name(m.type), j);
    ++messages;
    shut = static_cast<ReturnType>(m.type) == ReturnType::shut;
  }
  context.summary["messages"] = messages;
  context.summary["shut"] = shut;
  return {};
}

}  // namespace tern::tool
