// SPDX-License-Identifier: Apache-2.0
//
// query-qmp-schema: the tables of commands and events, and the types they use, in introspection's
// form. Decides nothing; what is in the tables is in the schema.
#pragma once

#include "migration/qmp/json_text.h"

namespace tern::qmp {

/// The array of entities. As in QEMU, commands, events and builtin types have names, others
/// numbers.
Json schema_json() noexcept;

}  // namespace tern::qmp
