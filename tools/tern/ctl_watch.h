// SPDX-License-Identifier: Apache-2.0
//
// `tern ctl SOCKET watch` and what --wait does: shows events as they come and how the migration
// goes, until it ends or the server does. Changes nothing at the server.
#pragma once

#include <chrono>
#include <cstdio>
#include <optional>

#include "tern/result.h"
#include "tools/common/qmp_client.h"

namespace tern::tool {

struct WatchOptions {
  std::chrono::milliseconds interval{1000};
  bool until_end = false;  // of the migration: completed, failed or cancelled
  bool json = false;
  std::optional<std::chrono::milliseconds> limit;  // of the whole watching
};

/// Writes to `out`. Returns whether all is well: the migration completed; without until_end, the
/// server ended as it had announced (SHUTDOWN). false: the migration failed or was cancelled.
/// Errors: channel (the server is gone), timed_out (the limit), peer_protocol.
Result<bool> watch(QmpClient& client, const WatchOptions& options, std::FILE* out) noexcept;

}  // namespace tern::tool
