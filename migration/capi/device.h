// SPDX-License-Identifier: Apache-2.0
//
// The handles through which a device saves and loads its fields.
#pragma once

#include <memory>
#include <string>

#include "tern/c/machine.h"
#include "tern/device_section.h"

/// Either lent for one callback (`own` is empty) or the embedder's own.
struct tern_device_writer {
  tern::DeviceWriter* writer;
  std::unique_ptr<tern::DeviceWriter> own;
  /// The first bad argument: the put functions have no way to tell it.
  std::string fault;
};

struct tern_device_reader {
  tern::DeviceReader* reader;
  std::unique_ptr<tern::DeviceReader> own;
};
