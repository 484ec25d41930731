// SPDX-License-Identifier: Apache-2.0
//
// From the text of a request to the line of its reply: QMP's checks in QMP's order, the command,
// the id. Knows nothing of sockets.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "migration/qmp/command_table.h"
#include "tern/log.h"

namespace tern::qmp {

struct Reply {
  std::string line;  // ends with CR LF
  /// Call QmpVm::quit once the line is on its way.
  bool quit = false;
};

/// Thread rules: any thread; commands run one at a time, under command_mutex_. It is the first lock
/// in the order (commands, then run states, then the event hub, then outboxes); migration threads
/// never take it, so a command may join them.
class Dispatcher {
 public:
  Dispatcher(Plane plane, LogSink& log) noexcept : plane_(plane), log_(log) {}

  Reply handle(std::string_view text, Session& session) noexcept TERN_EXCLUDES(command_mutex_);

  /// Runs `act` as if it were a command: nothing else is executed meanwhile.
  template <typename Act>
  auto exclusively(Act act) noexcept TERN_EXCLUDES(command_mutex_) {
    MutexLock lock(command_mutex_);
    return act();
  }

 private:
  Outcome execute(const Json& request, Session& session, bool& quit) noexcept;

  Plane plane_;
  LogSink& log_;
  Mutex command_mutex_;
};

/// The reply to input that is no request: an error without an id.
std::string error_line(std::string desc) noexcept;
/// What a client is told when it connects.
std::string greeting_line() noexcept;

}  // namespace tern::qmp
