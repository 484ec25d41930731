// SPDX-License-Identifier: Apache-2.0
//
// What a destination says to the source: messages, and tern's hello inside one.
#include "migration/stream/return_path.h"

#include <utility>

#include "tests/doubles/memory_channel.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

constexpr size_t kMaxPayload = 512;
uint64_t successes = 0;

std::string run(std::span<const std::byte> input) {
  test::MemoryChannel channel({input.begin(), input.end()});
  StreamReader in(channel, 4096);
  for (;;) {
    const auto over = in.at_end();
    if (!over) return "memory cannot fail";
    if (*over) break;
    const auto message = read_return_message(in);
    if (!message)
      return check_error(message.error(), {ErrorCode::peer_protocol, ErrorCode::channel});
    if (message->payload.size() > kMaxPayload) return "a payload of more than 512 bytes";
    if (return_type_name(message->type).empty()) return "a message without a name";
    if (static_cast<ReturnType>(message->type) != ReturnType::tern_hello) continue;
    const auto hello = parse_tern_hello(*message);
    if (!hello) return check_error(hello.error(), {ErrorCode::peer_protocol});
    if (hello->version.empty() || hello->oldest > hello->newest) return "a hello that says nothing";
  }
  ++successes;
  return {};
}

}  // namespace

FuzzTarget return_path_target() {
  return {"return-path", {"return-path-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
