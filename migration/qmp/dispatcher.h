// SPDX-License-Identifier: Apache-2.0
//
// From the text of a request to the line of its reply: QMP's checks in QMP's order, the command,
// the id. Knows nothing of sockets and decides nothing about threads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/fd.h"
#include "base/mutex.h"
#include "migration/qmp/command_table.h"
#include "tern/log.h"

namespace tern::qmp {

struct Reply {
  std::string line;  // ends with CR LF
  /// Call QmpVm::quit once the line is on its way.
  bool quit = false;
};

/// A request that was read: what it asks for, or what is wrong with it.
struct Request {
  std::variant<Json, QmpError> input = Json();  // an object
  std::optional<Json> id;
  bool oob = false;
  /// A descriptor that came with it. What its command does not take is closed with it.
  Fd fd;
};

/// Thread rules: any thread. Ordinary commands run one at a time, under command_mutex_, which is
/// the first lock in the order (commands, blockers, migrations' engines, run states, the event hub,
/// outboxes); migration threads never take it, so a command may join them. Out-of-band commands run
/// without it.
class Dispatcher {
 public:
  Dispatcher(Plane plane, LogSink& log) noexcept : plane_(plane), log_(log) {}

  /// Reads the text of a request, or takes over what the scanner found wrong with it.
  static Request read(std::string_view text, bool oob_enabled) noexcept;
  static Request broken(std::string desc) noexcept;

  Reply execute(Request& request, Session& session) noexcept TERN_EXCLUDES(command_mutex_);

  /// What a client is told when it connects.
  std::string greeting_line() const noexcept;

  /// Runs `act` as if it were a command: nothing else is executed meanwhile.
  template <typename Act>
  auto exclusively(Act act) noexcept TERN_EXCLUDES(command_mutex_) {
    MutexLock lock(command_mutex_);
    return act();
  }

 private:
  Outcome outcome_of(Request& request, Session& session, bool& quit) noexcept;
  Outcome call_handler(Call& call) noexcept;

  Plane plane_;
  LogSink& log_;
  Mutex command_mutex_;
};

}  // namespace tern::qmp
