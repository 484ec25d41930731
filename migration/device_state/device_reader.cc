// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "base/wire_int.h"
#include "tern/device_section.h"

namespace tern {

Error DeviceReader::bad_value(std::string_view field, std::string_view why) const noexcept {
  return Error(ErrorCode::peer_protocol, "field '" + std::string(field) + "' before offset " +
                                             std::to_string(stream_offset()) + ": " +
                                             std::string(why));
}

Result<std::span<const std::byte>> DeviceReader::take(std::string_view field,
                                                      size_t size) noexcept {
  if (size > left()) {
    return Error(ErrorCode::peer_protocol, "field '" + std::string(field) + "' at offset " +
                                               std::to_string(stream_offset()) + " needs " +
                                               std::to_string(size) + " bytes, the section has " +
                                               std::to_string(left()) + " left");
  }
  const auto bytes = body_.subspan(at_, size);
  at_ += size;
  return bytes;
}

Result<bool> DeviceReader::get_bool(std::string_view field) noexcept {
  return TERN_TRY(get_u8(field)) != 0;
}
Result<uint8_t> DeviceReader::get_u8(std::string_view field) noexcept {
  return std::to_integer<uint8_t>(TERN_TRY(take(field, 1))[0]);
}
Result<uint16_t> DeviceReader::get_u16(std::string_view field) noexcept {
  return load_be<uint16_t>(TERN_TRY(take(field, 2)).data());
}
Result<uint32_t> DeviceReader::get_u32(std::string_view field) noexcept {
  return load_be<uint32_t>(TERN_TRY(take(field, 4)).data());
}
Result<uint64_t> DeviceReader::get_u64(std::string_view field) noexcept {
  return load_be<uint64_t>(TERN_TRY(take(field, 8)).data());
}
Result<int32_t> DeviceReader::get_i32(std::string_view field) noexcept {
  return load_be<int32_t>(TERN_TRY(take(field, 4)).data());
}
Result<int64_t> DeviceReader::get_i64(std::string_view field) noexcept {
  return load_be<int64_t>(TERN_TRY(take(field, 8)).data());
}
Result<std::span<const std::byte>> DeviceReader::get_buffer(std::string_view field,
                                                            size_t size) noexcept {
  return take(field, size);
}
Result<void> DeviceReader::get_u32_array(std::string_view field,
                                         std::span<uint32_t> into) noexcept {
  const auto bytes = TERN_TRY(take(field, into.size() * 4));
  for (size_t i = 0; i < into.size(); ++i) into[i] = load_be<uint32_t>(bytes.data() + i * 4);
  return {};
}
Result<void> DeviceReader::get_u64_array(std::string_view field,
                                         std::span<uint64_t> into) noexcept {
  const auto bytes = TERN_TRY(take(field, into.size() * 8));
  for (size_t i = 0; i < into.size(); ++i) into[i] = load_be<uint64_t>(bytes.data() + i * 8);
  return {};
}

}  // namespace tern
