// SPDX-License-Identifier: Apache-2.0
//
// Every QMP event as one row: introspection, query-events and the reference are made from these.
#pragma once

#include <span>
#include <string_view>

#include "migration/qmp/qapi_type.h"

namespace tern::qmp {

struct EventRow {
  std::string_view name;
  const QapiType* data;  // kEmpty: the event has no member "data"
  /// Told only while the capability of this name is on; "" for always.
  std::string_view capability;
  std::string_view since;
  std::string_view when;
};

std::span<const EventRow> event_table() noexcept;
/// nullptr for an unknown name.
const EventRow* find_event(std::string_view name) noexcept;

}  // namespace tern::qmp
