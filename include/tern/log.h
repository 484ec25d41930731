// SPDX-License-Identifier: Apache-2.0
//
// tern never owns stdout or stderr: what it has to say goes to the embedder's LogSink.
#pragma once

#include <string_view>

#include "tern/version.h"

namespace tern {

enum class LogLevel { debug, info, warning, error };

TERN_API std::string_view to_string(LogLevel level) noexcept;

/// Thread rules: called from any tern thread, several at once; must not block for long and must not
/// call back into the migration that logs.
class TERN_API LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void log(LogLevel level, std::string_view message) noexcept = 0;
};

/// Drops everything. The default where an embedder gives no sink.
TERN_API LogSink& null_log() noexcept;

}  // namespace tern
