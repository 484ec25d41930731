// SPDX-License-Identifier: Apache-2.0
//
// QMP events on their way from whoever has something to tell to every client that has negotiated.
// All clients see the same order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "migration/qmp/json_text.h"
#include "migration/qmp/outbox.h"
#include "tern/clock.h"

namespace tern::qmp {

/// Thread rules: any thread; never blocks on a client. Holds its lock while it pushes into outboxes
/// (hub before outbox in the lock order) and calls nothing else but Clock::wall.
class EventHub {
 public:
  explicit EventHub(Clock& clock) noexcept : clock_(clock) {}

  /// Sends `data` (null: none) as event `name`.
  void emit(std::string_view name, const Json& data = nullptr) noexcept TERN_EXCLUDES(mutex_);

  /// From now on `outbox` gets events; `reply` goes first, so that no event can slip in before it
  /// or be lost after it. `wake_fd` is an eventfd of the loop that flushes the outbox.
  void subscribe(Outbox& outbox, int wake_fd, std::string reply) noexcept TERN_EXCLUDES(mutex_);
  /// After it returns, no thread touches the outbox on behalf of the hub. Unknown ones are fine.
  void unsubscribe(Outbox& outbox) noexcept TERN_EXCLUDES(mutex_);

 private:
  struct Subscriber {
    Outbox* outbox;
    int wake_fd;
  };
  Clock& clock_;
  Mutex mutex_;
  std::vector<Subscriber> subscribers_ TERN_GUARDED_BY(mutex_);
};

/// Adds one to an eventfd: the poll() that watches it returns. Any thread.
void wake(int event_fd) noexcept;

}  // namespace tern::qmp
