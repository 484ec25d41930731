// SPDX-License-Identifier: Apache-2.0
//
// The handle of an object store. Shared with the machines that use it, so that handles can be freed
// in any order.
#pragma once

#include <memory>

#include "tern/c/machine.h"
#include "tern/objects.h"

struct tern_object_store {
  std::shared_ptr<tern::ObjectStore> store;
};
