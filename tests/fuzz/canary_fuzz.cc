// SPDX-License-Identifier: Apache-2.0
//
// The canary: it must die. Reads streams like `inspect` and claims, wrongly, that no malformed
// stream is ever refused for its footer. A harness that does not report it does not look.
#include "tests/fuzz/target.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_input.h"

namespace tern::fuzz {
namespace {

std::string run(std::span<const std::byte> input) {
  auto output = tool::make_text_output([](std::string_view) {});
  tool::MemoryInput channel(input);
  const auto failure = tool::inspect(channel, {}, *output);
  if (failure && failure->reason.find("footer of section") != std::string::npos)
    return "found the canary";
  return {};
}

}  // namespace

FuzzTarget canary_target() {
  return {"canary", {"stream-"}, run, [] { return uint64_t{0}; }};
}

}  // namespace tern::fuzz
