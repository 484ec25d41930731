// SPDX-License-Identifier: Apache-2.0
//
// The reply of query-migrate, made from snapshots: which members it has in which state, as QEMU has
// it. What QEMU has no word for stands under "x-tern".
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migration/qmp/json_text.h"
#include "tern/address.h"
#include "tern/stats.h"

namespace tern::qmp {

struct MigrationSides {
  const StatsSnapshot* incoming = nullptr;  // nullptr: none was asked for
  std::span<const Address> listening;
  const StatsSnapshot* outgoing = nullptr;
  std::vector<std::string> blocked_reasons;  // why no migration can start, newest first
};

/// The incoming side is written first; an outgoing migration that is not `none` wins, member by
/// member.
Json migration_info(const MigrationSides& sides) noexcept;

}  // namespace tern::qmp
