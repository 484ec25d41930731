// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "base/wire_int.h"
#include "migration/device_state/description.h"
#include "tern/device_section.h"

namespace tern {
namespace {

template <typename T>
void append(std::vector<std::byte>& bytes, T value) noexcept {
  std::byte b[sizeof(T)];
  store_be(b, value);
  bytes.insert(bytes.end(), b, b + sizeof(T));
}

template <typename T>
void put_scalar(DeviceWriter::State& s, std::string_view field, std::string_view type,
                T value) noexcept {
  append(s.bytes, value);
  s.open.back()->fields.push_back({std::string(field), std::string(type), sizeof(T), 0, {}});
}

template <typename T>
void put_array(DeviceWriter::State& s, std::string_view field, std::string_view type,
               std::span<const T> values) noexcept {
  if (values.empty()) return;  // an array without elements is not in the description
  for (const T v : values) append(s.bytes, v);
  s.open.back()->fields.push_back(
      {std::string(field), std::string(type), sizeof(T), values.size(), {}});
}

}  // namespace

DeviceWriter::DeviceWriter() noexcept : state_(std::make_unique<State>()) {
  state_->open.push_back(&state_->root);
}
DeviceWriter::DeviceWriter(DeviceWriter&&) noexcept = default;
DeviceWriter::~DeviceWriter() = default;

void DeviceWriter::put_bool(std::string_view field, bool value) noexcept {
  put_scalar(*state_, field, "bool", static_cast<uint8_t>(value ? 1 : 0));
}
void DeviceWriter::put_u8(std::string_view field, uint8_t value) noexcept {
  put_scalar(*state_, field, "uint8", value);
}
void DeviceWriter::put_u16(std::string_view field, uint16_t value) noexcept {
  put_scalar(*state_, field, "uint16", value);
}
void DeviceWriter::put_u32(std::string_view field, uint32_t value) noexcept {
  put_scalar(*state_, field, "uint32", value);
}
void DeviceWriter::put_u64(std::string_view field, uint64_t value) noexcept {
  put_scalar(*state_, field, "uint64", value);
}
void DeviceWriter::put_i32(std::string_view field, int32_t value) noexcept {
  put_scalar(*state_, field, "int32", value);
}
void DeviceWriter::put_i64(std::string_view field, int64_t value) noexcept {
  put_scalar(*state_, field, "int64", value);
}
void DeviceWriter::put_buffer(std::string_view field, std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return;
  state_->bytes.insert(state_->bytes.end(), bytes.begin(), bytes.end());
  state_->open.back()->fields.push_back({std::string(field), "buffer", bytes.size(), 0, {}});
}
void DeviceWriter::put_u32_array(std::string_view field,
                                 std::span<const uint32_t> values) noexcept {
  put_array(*state_, field, "uint32", values);
}
void DeviceWriter::put_u64_array(std::string_view field,
                                 std::span<const uint64_t> values) noexcept {
  put_array(*state_, field, "uint64", values);
}

void DeviceWriter::begin_struct(std::string_view field, std::string_view vmsd_name,
                                uint32_t version) noexcept {
  auto nested = std::make_unique<StructDescription>();
  nested->vmsd_name = vmsd_name;
  nested->version = version;
  nested->start = state_->bytes.size();
  StructDescription* raw = nested.get();
  state_->open.back()->fields.push_back({std::string(field), "struct", 0, 0, std::move(nested)});
  state_->open.push_back(raw);
}

void DeviceWriter::end_struct() noexcept {
  if (state_->open.size() < 2) return;  // an end without a begin changes nothing
  const size_t size = state_->bytes.size() - state_->open.back()->start;
  state_->open.pop_back();
  state_->open.back()->fields.back().size = size;
}

size_t DeviceWriter::size() const noexcept { return state_->bytes.size(); }
std::span<const std::byte> DeviceWriter::bytes() const noexcept { return state_->bytes; }

}  // namespace tern
