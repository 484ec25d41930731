// SPDX-License-Identifier: Apache-2.0
//
// The handle of a snapshot of statistics.
#pragma once

#include "tern/c/migration.h"
#include "tern/stats.h"

struct tern_stats {
  tern::StatsSnapshot value;
};
