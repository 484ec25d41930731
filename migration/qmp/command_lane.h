// SPDX-License-Identifier: Apache-2.0
//
// The ordinary commands of one connection on their way through the VMM's dispatcher: one after the
// other, in order, while the connection's own thread goes on reading and executes what is out of
// band. Knows order and limits; knows nothing of sockets.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "migration/qmp/dispatcher.h"
#include "tern/qmp.h"

namespace tern::qmp {

/// Thread rules: submit, accepts and close on the connection's thread; commands run where the VMM
/// runs them. Held by shared_ptr: work that the VMM has not run yet may outlive the connection, and
/// then does nothing.
class CommandLane : public std::enable_shared_from_this<CommandLane> {
 public:
  /// How many commands may wait behind the one that runs, with out-of-band execution enabled;
  /// without it none: the next is not looked at before the reply of the one before.
  static constexpr size_t kMaxWaiting = 8;  // QEMU's

  /// `deliver` gets each reply, on the thread that ran the command, one at a time; `settled` is
  /// called when the command is over, under the lane's lock: it must only wake somebody. `vmm`
  /// nullptr: commands run inside submit().
  CommandLane(Dispatcher& dispatcher, QmpDispatcher* vmm, Session& session,
              std::function<void(Reply)> deliver, std::function<void()> settled) noexcept
      : dispatcher_(dispatcher),
        vmm_(vmm),
        session_(session),
        deliver_(std::move(deliver)),
        settled_(std::move(settled)) {}

  /// Whether another command may be submitted now.
  bool accepts(bool oob_enabled) const noexcept TERN_EXCLUDES(mutex_);
  /// Nothing runs and nothing waits: what commands change may be looked at.
  bool idle() const noexcept TERN_EXCLUDES(mutex_);
  void submit(Request request) noexcept TERN_EXCLUDES(mutex_);
  /// Waits for the command that runs; those that wait are dropped.
  void close() noexcept TERN_EXCLUDES(mutex_);

 private:
  void post() noexcept;
  void run_next() noexcept TERN_EXCLUDES(mutex_);

  Dispatcher& dispatcher_;
  QmpDispatcher* const vmm_;
  Session& session_;
  const std::function<void(Reply)> deliver_;
  const std::function<void()> settled_;
  mutable Mutex mutex_;
  CondVar ended_;
  std::deque<Request> waiting_ TERN_GUARDED_BY(mutex_);
  bool posted_ TERN_GUARDED_BY(mutex_) = false;   // run_next will be called, or runs
  bool running_ TERN_GUARDED_BY(mutex_) = false;  // a command is being executed
  bool closed_ TERN_GUARDED_BY(mutex_) = false;
};

}  // namespace tern::qmp
