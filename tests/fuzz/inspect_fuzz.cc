// SPDX-License-Identifier: Apache-2.0
//
// `tern inspect` over anything: both outputs, the JSON of which must be a document, and the failure
// inside the input.
#include <utility>

#include "tests/fuzz/target.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_input.h"

namespace tern::fuzz {
namespace {

uint64_t successes = 0;

std::string check_failure(const std::optional<tool::Failure>& failure, size_t size) {
  if (!failure) return {};
  if (failure->reason.empty()) return "a failure without a reason";
  if (failure->offset > size) return "a failure past the end of the input";
  return {};
}

std::string run(std::span<const std::byte> input) {
  tool::InspectOptions options;
  options.max_device_state = 1u << 20;
  options.verbose = input.size() % 2 == 0;
  // A return path has no magic: its first message decides.
  const bool back = input.size() >= 4 && input[0] == std::byte{0} && input[2] == std::byte{0};
  if (back) options.format = tool::InspectFormat::return_path;

  std::string json;
  auto json_output = tool::make_json_output([&](std::string_view text) { json += text; });
  tool::MemoryInput first(input);
  const auto failure = tool::inspect(first, options, *json_output);
  if (auto wrong = check_failure(failure, input.size()); !wrong.empty()) return wrong;
  if (!tool::Json::accept(json)) return "the output is not JSON: " + json.substr(0, 2000);

  std::string text;
  auto text_output = tool::make_text_output([&](std::string_view t) { text += t; });
  tool::MemoryInput second(input);
  const auto again = tool::inspect(second, options, *text_output);
  if (again.has_value() != failure.has_value()) return "the two outputs disagree";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return "a control byte in the text";
  }
  if (!failure) ++successes;
  return {};
}

}  // namespace

FuzzTarget inspect_target() {
  return {"inspect", {"stream-", "multifd-", "return-path-"}, run, [] {
            return std::exchange(successes, 0);
          }};
}

}  // namespace tern::fuzz
