// SPDX-License-Identifier: Apache-2.0
//
// What DeviceWriter remembers of the fields it wrote; stream/vmdesc turns it into the
// vmdescription.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tern/device_section.h"

namespace tern {

struct StructDescription;

struct FieldDescription {
  std::string name;
  std::string type;
  size_t size = 0;                            // of one element
  size_t array_len = 0;                       // 0: not an array
  std::unique_ptr<StructDescription> nested;  // type "struct"
};

struct StructDescription {
  std::string vmsd_name;
  uint32_t version = 1;
  size_t start = 0;  // offset of the first byte in the body
  std::vector<FieldDescription> fields;
};

struct DeviceWriter::State {
  std::vector<std::byte> bytes;
  StructDescription root;
  std::vector<StructDescription*> open;  // innermost last; never empty
};

}  // namespace tern
