// SPDX-License-Identifier: Apache-2.0
//
// Device state: each device of the VMM saves and loads itself as one section of the stream.
//
// DeviceWriter writes the bytes and the vmdescription at once, so the stream can be read by tools
// that know nothing of the device (QEMU's analyze-migration.py, `tern inspect`). Encodings are
// those of QEMU's vmstate: big-endian, unaligned, no padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tern/result.h"
#include "tern/version.h"

namespace tern {

/// Writes the body of one device section. Field names must be unique inside their struct unless
/// they are elements of one array. Not thread-safe. Size limit of one body: 64 MiB; past it finish
/// fails.
class TERN_API DeviceWriter {
 public:
  DeviceWriter() noexcept;
  DeviceWriter(DeviceWriter&&) noexcept;
  ~DeviceWriter();

  void put_bool(std::string_view field, bool value) noexcept;
  void put_u8(std::string_view field, uint8_t value) noexcept;
  void put_u16(std::string_view field, uint16_t value) noexcept;
  void put_u32(std::string_view field, uint32_t value) noexcept;
  void put_u64(std::string_view field, uint64_t value) noexcept;
  void put_i32(std::string_view field, int32_t value) noexcept;
  void put_i64(std::string_view field, int64_t value) noexcept;
  void put_buffer(std::string_view field, std::span<const std::byte> bytes) noexcept;
  void put_u32_array(std::string_view field, std::span<const uint32_t> values) noexcept;
  void put_u64_array(std::string_view field, std::span<const uint64_t> values) noexcept;

  /// Opens a nested struct; the description gets {"type": "struct", "struct": {...}}. Close with
  /// end_struct. Calls with the same field name one after another form an array.
  void begin_struct(std::string_view field, std::string_view vmsd_name, uint32_t version) noexcept;
  void end_struct() noexcept;

  /// Bytes written so far.
  size_t size() const noexcept;
  std::span<const std::byte> bytes() const noexcept;

  struct State;
  /// For the library: the description tree.
  const State& state() const noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Reads the body of one device section. The input is hostile: every get can fail, and says which
/// field at which offset. Not thread-safe; the bytes must outlive it.
class TERN_API DeviceReader {
 public:
  DeviceReader(std::span<const std::byte> body, uint64_t stream_offset) noexcept
      : body_(body), stream_offset_(stream_offset) {}

  Result<bool> get_bool(std::string_view field) noexcept;
  Result<uint8_t> get_u8(std::string_view field) noexcept;
  Result<uint16_t> get_u16(std::string_view field) noexcept;
  Result<uint32_t> get_u32(std::string_view field) noexcept;
  Result<uint64_t> get_u64(std::string_view field) noexcept;
  Result<int32_t> get_i32(std::string_view field) noexcept;
  Result<int64_t> get_i64(std::string_view field) noexcept;
  /// The next `size` bytes; a view into the body.
  Result<std::span<const std::byte>> get_buffer(std::string_view field, size_t size) noexcept;
  Result<void> get_u32_array(std::string_view field, std::span<uint32_t> into) noexcept;
  Result<void> get_u64_array(std::string_view field, std::span<uint64_t> into) noexcept;

  size_t left() const noexcept { return body_.size() - at_; }
  /// Where the next byte stands in the whole stream, for messages.
  uint64_t stream_offset() const noexcept { return stream_offset_ + at_; }
  /// An error naming the field and the offset: for values out of range.
  Error bad_value(std::string_view field, std::string_view why) const noexcept;

 private:
  Result<std::span<const std::byte>> take(std::string_view field, size_t size) noexcept;
  std::span<const std::byte> body_;
  uint64_t stream_offset_;
  size_t at_ = 0;
};

struct SectionId {
  std::string idstr;                ///< 1..255 bytes ("tern-kvm/cpu")
  uint32_t instance_id = 0;         ///< tells devices of one idstr apart
  uint32_t version_id = 1;          ///< what save writes; the highest load accepts
  uint32_t minimum_version_id = 1;  ///< the lowest load accepts
};

/// Thread rules: save is called on mig/src/main with the vCPUs stopped, load on mig/dst/listen
/// before the guest runs. After any load failed the machine must not be run.
class TERN_API DeviceSection {
 public:
  virtual ~DeviceSection() = default;
  virtual const SectionId& id() const noexcept = 0;
  virtual Result<void> save(DeviceWriter& writer) noexcept = 0;
  /// Checks and takes over the state. Bytes left unread are an error of the section.
  virtual Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept = 0;
};

}  // namespace tern
