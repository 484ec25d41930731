// SPDX-License-Identifier: Apache-2.0
//
// URIs: what parses must print and parse again to the same.
#include <utility>

#include "tern/address.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

uint64_t successes = 0;

bool has_uri_form(const Address& address) {
  if (const auto* u = std::get_if<UnixAddress>(&address)) return !u->abstract;
  return !std::holds_alternative<ExecAddress>(address);
}

std::string run(std::span<const std::byte> input) {
  const std::string_view uri(reinterpret_cast<const char*>(input.data()), input.size());
  const auto address = parse_uri(uri);
  if (!address) return check_error(address.error(), {ErrorCode::invalid_argument});
  ++successes;
  const std::string printed = to_uri(*address);
  if (!has_uri_form(*address)) return {};
  const auto again = parse_uri(printed);
  if (!again) return "what was printed does not parse: " + printed + ": " + again.error().message();
  if (*again != *address) return "what was printed is another address: " + printed;
  return {};
}

}  // namespace

FuzzTarget address_target() {
  return {"address", {"uri-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
