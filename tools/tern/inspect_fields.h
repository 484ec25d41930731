// SPDX-License-Identifier: Apache-2.0
//
// Device bodies decoded by the vmdescription: the layout tree of its JSON, and the values that a
// body has in it. (Where sections end is the engine's: migration/stream/vmdesc.)
//
//   FIELD = {"name", "type", "size", ["array_len" | "index"], ["struct": LAYOUT]}
//   LAYOUT = {"vmsd_name", "version", "fields": [FIELD], ["subsections": [LAYOUT]]}
//
// Arrays: `array_len` stands for that many elements of `size` bytes; otherwise each element is an
// entry of its own, with `index` (QEMU 7.2: all; 10.x: all but the last) or without (11.1). The
// same name again is the next element, always. Types that put their layout into the field itself
// (tmp, vstruct, qtailq …) are decoded where that adds up.
//
// Limits: depth 64, 262144 entries, as many values per section; a description that does not fit the
// bytes is not an error here: the bytes are shown as they are, with a note.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"
#include "tools/tern/inspect_output.h"

namespace tern::tool {

struct DescribedField;

struct DescribedLayout {
  std::string name;  // vmsd_name
  std::optional<uint64_t> version;
  std::vector<DescribedField> fields;
  std::vector<DescribedLayout> subsections;
};

struct DescribedField {
  std::string name;
  std::string type;
  uint64_t size = 0;
  uint64_t array_len = 1;
  std::unique_ptr<DescribedLayout> layout;  // of a struct, or written into the field
};

struct DescribedDevice {
  std::string idstr;
  uint32_t instance_id = 0;
  DescribedLayout layout;
};

struct Description {
  std::optional<uint64_t> page_size;
  bool has_configuration = false;
  std::vector<DescribedDevice> devices;
  /// The last one of that name, as the engine counts it; nullptr: not described.
  const DescribedDevice* find(std::string_view idstr, uint32_t instance_id) const noexcept;
};

/// Errors: peer_protocol.
Result<Description> parse_description(std::string_view json) noexcept;

/// {"fields": […], "subsections": […]} for a body, or {"note", "value"} where the layout does not
/// fit it. `everything`: no array or buffer is cut short.
Json decode_body(const DescribedLayout& layout, std::span<const std::byte> body,
                 bool everything) noexcept;

}  // namespace tern::tool
