// SPDX-License-Identifier: Apache-2.0
#include "migration/device_state/globalstate.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tern {
namespace {
constexpr size_t kFieldBytes = 100;
constexpr size_t kNewFieldBytes = 32;  // newer QEMU: the text ends here, flags follow
}  // namespace

GlobalState::GlobalState(RunState state) noexcept : id_{"globalstate", 0, 1, 1}, state_(state) {}

Result<void> GlobalState::save(DeviceWriter& writer) noexcept {
  const std::string_view text = to_string(state_);
  std::array<std::byte, kFieldBytes> field{};
  std::memcpy(field.data(), text.data(), text.size());
  writer.put_u32("size", static_cast<uint32_t>(text.size() + 1));
  writer.put_buffer("runstate", field);
  return {};
}

Result<void> GlobalState::load(DeviceReader& reader, uint32_t) noexcept {
  TERN_TRY(reader.get_u32("size"));
  const auto field = TERN_TRY(reader.get_buffer("runstate", kFieldBytes));
  const auto text = field.first(kNewFieldBytes);
  const auto end = std::find(text.begin(), text.end(), std::byte{0});
  if (end == text.end()) return reader.bad_value("runstate", "not NUL-terminated");
  auto state = run_state_from(
      {reinterpret_cast<const char*>(text.data()), static_cast<size_t>(end - text.begin())});
  if (!state) return reader.bad_value("runstate", state.error().message());
  state_ = *state;
  return {};
}

}  // namespace tern
