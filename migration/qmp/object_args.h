// SPDX-License-Identifier: Apache-2.0
//
// The rows of migration/objects/object_types.h as QMP's types, and object-add's arguments as an
// object's properties.
#pragma once

#include "migration/qmp/json_text.h"
#include "migration/qmp/qapi_type.h"
#include "tern/objects.h"

namespace tern::qmp {

/// ObjectOptions: qom-type, id, and the properties of the type.
extern const QapiType kObjectOptions;

/// Of arguments that passed kObjectOptions; without qom-type and id.
ObjectProperties object_properties(const Json& arguments) noexcept;

}  // namespace tern::qmp
