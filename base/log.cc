// SPDX-License-Identifier: Apache-2.0
#include "tern/log.h"

namespace tern {
namespace {

class NullLog final : public LogSink {
 public:
  void log(LogLevel, std::string_view) noexcept override {}
};

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

LogSink& null_log() noexcept {
  static NullLog log;  // stateless
  return log;
}

}  // namespace tern
