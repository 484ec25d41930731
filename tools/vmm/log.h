// SPDX-License-Identifier: Apache-2.0
//
// What tern-vmm says on stderr: time, level, sentence, one write per line so that threads do not
// mix.
#pragma once

#include "tern/log.h"

namespace tern::vmm {

/// Thread-safe; no state but the level.
class StderrLog final : public LogSink {
 public:
  explicit StderrLog(LogLevel lowest) noexcept : lowest_(lowest) {}
  void log(LogLevel level, std::string_view message) noexcept override;

 private:
  LogLevel lowest_;
};

}  // namespace tern::vmm
