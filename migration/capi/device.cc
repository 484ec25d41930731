// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/device.h"

#include "migration/capi/error.h"

namespace tern::capi {
namespace {

// Runs `put` with the writer, or notes what is missing.
template <typename Put>
void put_checked(tern_device_writer* writer, const char* field, bool has_data, Put put) noexcept {
  if (writer == nullptr) return;
  if (field == nullptr) {
    if (writer->fault.empty()) writer->fault = "the name of a field is NULL";
  } else if (!has_data) {
    if (writer->fault.empty()) writer->fault = "field '" + std::string(field) + "': data is NULL";
  } else {
    put(*writer->writer);
  }
}

template <typename T, typename Get>
int get_checked(tern_device_reader* reader, const char* field, T* value, tern_error** error,
                Get get) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"reader", reader}, {"field", field}, {"value", value}}));
    *value = static_cast<T>(TERN_TRY(get(*reader->reader)));
    return {};
  });
}

template <typename T>
int get_array(tern_device_reader* reader, const char* field, T* values, size_t count,
              tern_error** error,
              Result<void> (DeviceReader::*get)(std::string_view, std::span<T>) noexcept) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"reader", reader}, {"field", field}}));
    if (count != 0) TERN_TRY(need({{"values", values}}));
    // Before it is multiplied with the size of an element.
    if (count > reader->reader->left()) {
      return reader->reader->bad_value(field, "the section has fewer bytes than it has elements");
    }
    return (reader->reader->*get)(field, std::span<T>(values, count));
  });
}

}  // namespace
}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

void tern_device_put_bool(tern_device_writer* writer, const char* field, int value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_bool(field, value != 0); });
}
void tern_device_put_u8(tern_device_writer* writer, const char* field, uint8_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_u8(field, value); });
}
void tern_device_put_u16(tern_device_writer* writer, const char* field, uint16_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_u16(field, value); });
}
void tern_device_put_u32(tern_device_writer* writer, const char* field, uint32_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_u32(field, value); });
}
void tern_device_put_u64(tern_device_writer* writer, const char* field, uint64_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_u64(field, value); });
}
void tern_device_put_i32(tern_device_writer* writer, const char* field, int32_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_i32(field, value); });
}
void tern_device_put_i64(tern_device_writer* writer, const char* field, int64_t value) noexcept {
  put_checked(writer, field, true, [&](DeviceWriter& w) { w.put_i64(field, value); });
}
void tern_device_put_buffer(tern_device_writer* writer, const char* field, const void* bytes,
                            size_t size) noexcept {
  put_checked(writer, field, bytes != nullptr || size == 0, [&](DeviceWriter& w) {
    w.put_buffer(field, {static_cast<const std::byte*>(bytes), size});
  });
}
void tern_device_put_u32_array(tern_device_writer* writer, const char* field,
                               const uint32_t* values, size_t count) noexcept {
  put_checked(writer, field, values != nullptr || count == 0, [&](DeviceWriter& w) {
    w.put_u32_array(field, {values, count});
  });
}
void tern_device_put_u64_array(tern_device_writer* writer, const char* field,
                               const uint64_t* values, size_t count) noexcept {
  put_checked(writer, field, values != nullptr || count == 0, [&](DeviceWriter& w) {
    w.put_u64_array(field, {values, count});
  });
}
void tern_device_begin_struct(tern_device_writer* writer, const char* field, const char* vmsd_name,
                              uint32_t version) noexcept {
  put_checked(writer, field, vmsd_name != nullptr,
              [&](DeviceWriter& w) { w.begin_struct(field, vmsd_name, version); });
}
void tern_device_end_struct(tern_device_writer* writer) noexcept {
  if (writer != nullptr) writer->writer->end_struct();
}

const void* tern_device_bytes(const tern_device_writer* writer, size_t* size) noexcept {
  if (size != nullptr) *size = writer != nullptr ? writer->writer->size() : 0;
  return writer != nullptr ? writer->writer->bytes().data() : nullptr;
}

tern_device_writer* tern_device_writer_new() noexcept {
  auto own = std::make_unique<DeviceWriter>();
  DeviceWriter* writer = own.get();
  return new tern_device_writer{.writer = writer, .own = std::move(own), .fault = {}};
}
void tern_device_writer_free(tern_device_writer* writer) noexcept {
  if (writer != nullptr && writer->own) delete writer;
}

int tern_device_get_bool(tern_device_reader* reader, const char* field, int* value,
                         tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_bool(field); });
}
int tern_device_get_u8(tern_device_reader* reader, const char* field, uint8_t* value,
                       tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_u8(field); });
}
int tern_device_get_u16(tern_device_reader* reader, const char* field, uint16_t* value,
                        tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_u16(field); });
}
int tern_device_get_u32(tern_device_reader* reader, const char* field, uint32_t* value,
                        tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_u32(field); });
}
int tern_device_get_u64(tern_device_reader* reader, const char* field, uint64_t* value,
                        tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_u64(field); });
}
int tern_device_get_i32(tern_device_reader* reader, const char* field, int32_t* value,
                        tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_i32(field); });
}
int tern_device_get_i64(tern_device_reader* reader, const char* field, int64_t* value,
                        tern_error** error) noexcept {
  return get_checked(reader, field, value, error, [&](auto& r) { return r.get_i64(field); });
}

int tern_device_get_buffer(tern_device_reader* reader, const char* field, size_t size,
                           const void** bytes, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"reader", reader}, {"field", field}, {"bytes", bytes}}));
    *bytes = TERN_TRY(reader->reader->get_buffer(field, size)).data();
    return {};
  });
}

int tern_device_get_u32_array(tern_device_reader* reader, const char* field, uint32_t* values,
                              size_t count, tern_error** error) noexcept {
  return get_array(reader, field, values, count, error, &DeviceReader::get_u32_array);
}
int tern_device_get_u64_array(tern_device_reader* reader, const char* field, uint64_t* values,
                              size_t count, tern_error** error) noexcept {
  return get_array(reader, field, values, count, error, &DeviceReader::get_u64_array);
}

size_t tern_device_left(const tern_device_reader* reader) noexcept {
  return reader != nullptr ? reader->reader->left() : 0;
}
uint64_t tern_device_stream_offset(const tern_device_reader* reader) noexcept {
  return reader != nullptr ? reader->reader->stream_offset() : 0;
}

int tern_device_bad_value(const tern_device_reader* reader, const char* field, const char* why,
                          tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"reader", reader}, {"field", field}, {"why", why}}));
    return reader->reader->bad_value(field, why);
  });
}

int tern_device_reader_create(const void* bytes, size_t size, uint64_t stream_offset,
                              tern_device_reader** out, tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    if (size != 0) TERN_TRY(need({{"bytes", bytes}}));
    const std::span body(static_cast<const std::byte*>(bytes), size);
    auto own = std::make_unique<DeviceReader>(body, stream_offset);
    DeviceReader* reader = own.get();
    *out = new tern_device_reader{.reader = reader, .own = std::move(own)};
    return {};
  });
}
void tern_device_reader_free(tern_device_reader* reader) noexcept {
  if (reader != nullptr && reader->own) delete reader;
}
