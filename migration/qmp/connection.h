// SPDX-License-Identifier: Apache-2.0
//
// One QMP client from its greeting to its end: reads, cuts into requests, hands them to its lane,
// executes what is out of band, answers. Runs on the thread of the loop that owns it; its lane and
// its outbox are used by other threads, too.
#pragma once

#include <poll.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "migration/qmp/command_lane.h"
#include "migration/qmp/dispatcher.h"
#include "migration/qmp/event_hub.h"
#include "migration/qmp/json_scanner.h"
#include "migration/qmp/outbox.h"
#include "tern/log.h"

namespace tern::qmp {

class Connection {
 public:
  /// `socket` is connected and non-blocking; `wake_fd` is the eventfd of the loop.
  Connection(Fd socket, int wake_fd, Dispatcher& dispatcher, QmpDispatcher* vmm, EventHub& hub,
             QmpVm& vm, LogSink& log) noexcept;
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// What poll() should wait for. With nothing wanted the descriptor is left out: poll() would tell
  /// a hangup again and again; whoever ends the wait wakes the loop.
  pollfd poll_entry() noexcept;
  /// Does what `revents` says is possible, never blocking on the client.
  void work(short revents) noexcept;
  /// Nothing more will come of this client.
  bool over() noexcept;

 private:
  void read_some() noexcept;
  void execute_pending() noexcept;
  void take(const JsonScanner::Item& item) noexcept;
  void deliver(Reply reply) noexcept;
  bool may_take() noexcept;
  bool client_reads() noexcept { return outbox_.pending_bytes() < Outbox::kHighWaterBytes; }

  const int fd_;
  const int wake_fd_;
  Dispatcher& dispatcher_;
  EventHub& hub_;
  QmpVm& vm_;
  LogSink& log_;
  Outbox outbox_;
  Session session_;
  std::shared_ptr<CommandLane> lane_;
  JsonScanner scanner_;
  std::string input_;  // read but not yet given to the scanner
  Fd arrived_;         // goes to the next request whose text is complete
  bool end_of_input_ = false;
  bool oob_ = false;         // what the session said when no command ran
  bool subscribed_ = false;  // touched by deliver() only, which never runs twice at once
};

}  // namespace tern::qmp
