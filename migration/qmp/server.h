// SPDX-License-Identifier: Apache-2.0
//
// Serves QMP on one Unix socket: one client after the other, on the caller's thread, until told to
// stop.
#pragma once

#include <string>

#include "base/fd.h"
#include "migration/qmp/dispatcher.h"
#include "migration/qmp/event_hub.h"
#include "tern/log.h"
#include "tern/result.h"

namespace tern::qmp {

/// What a server needs of the control plane; all outlive it.
struct ServerParts {
  Dispatcher& dispatcher;
  QmpDispatcher* vmm;  // nullptr: commands run on the caller's thread
  EventHub& hub;
  QmpVm& vm;
  LogSink& log;
  /// An eventfd that becomes readable, and stays so, when all servers shall end.
  int stop_fd;
};

/// Blocks until stop_fd is readable. Errors: those of binding; channel if the listening socket
/// breaks.
Result<void> serve(const std::string& path, const ServerParts& parts) noexcept;

}  // namespace tern::qmp
