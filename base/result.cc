// SPDX-License-Identifier: Apache-2.0
#include "tern/result.h"

#include <cstring>

namespace tern {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::failed_precondition:
      return "failed_precondition";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::peer_protocol:
      return "peer_protocol";
    case ErrorCode::channel:
      return "channel";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::resource_exhausted:
      return "resource_exhausted";
    case ErrorCode::device:
      return "device";
    case ErrorCode::outcome_unknown:
      return "outcome_unknown";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

Error errno_error(ErrorCode code, std::string_view what, int sys_errno) noexcept {
  char buffer[128];
  // The GNU strerror_r: thread-safe, and may return a string of its own instead of the buffer.
  const char* text = strerror_r(sys_errno, buffer, sizeof buffer);
  return Error(code, std::string(what) + ": " + text, sys_errno);
}

}  // namespace tern
