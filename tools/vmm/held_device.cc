// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/held_device.h"

#include <algorithm>
#include <charconv>

namespace tern::vmm {

Result<HeldDeviceOptions> parse_held_device(std::string_view text) noexcept {
  const auto bad = [text] {
    return Error(ErrorCode::invalid_argument,
                 "'" + std::string(text) + "': not ID[,after=MS] or ID,after=never");
  };
  HeldDeviceOptions device;
  const size_t comma = std::min(text.find(','), text.size());
  device.id = text.substr(0, comma);
  if (device.id.empty()) return bad();
  std::string_view rest = text.substr(comma);
  if (rest.empty()) return device;
  constexpr std::string_view kAfter = ",after=";
  if (!rest.starts_with(kAfter)) return bad();
  rest.remove_prefix(kAfter.size());
  if (rest == "never") {
    device.after.reset();
    return device;
  }
  uint32_t ms = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ms);
  if (error != std::errc() || end != rest.data() + rest.size()) return bad();
  device.after = Milliseconds(ms);
  return device;
}

}  // namespace tern::vmm
