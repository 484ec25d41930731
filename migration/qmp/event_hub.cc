// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/event_hub.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace tern::qmp {

void wake(int event_fd) noexcept {
  const uint64_t one = 1;
  // Fails only when the counter is full: then the loop is awake anyway.
  [[maybe_unused]] const ssize_t n = ::write(event_fd, &one, sizeof one);
}

void EventHub::emit(std::string_view name, const Json& data) noexcept {
  MutexLock lock(mutex_);
  if (subscribers_.empty()) return;
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(clock_.wall()).count();
  Json event = {{"event", name},
                {"timestamp", {{"seconds", now / 1000000}, {"microseconds", now % 1000000}}}};
  if (!data.is_null()) event["data"] = data;
  const std::string line = to_text(event) + "\r\n";
  for (const Subscriber& subscriber : subscribers_) {
    if (subscriber.outbox->push_event(line)) wake(subscriber.wake_fd);
  }
}

void EventHub::subscribe(Outbox& outbox, int wake_fd, std::string reply) noexcept {
  MutexLock lock(mutex_);
  outbox.push_reply(std::move(reply));
  subscribers_.push_back({&outbox, wake_fd});
}

void EventHub::unsubscribe(Outbox& outbox) noexcept {
  MutexLock lock(mutex_);
  std::erase_if(subscribers_, [&](const Subscriber& s) { return s.outbox == &outbox; });
}

}  // namespace tern::qmp
