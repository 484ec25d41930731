// SPDX-License-Identifier: Apache-2.0
#include "migration/source/unplug.h"

#include <utility>

namespace tern {
namespace {
constexpr Nanoseconds kLookPeriod = Milliseconds(250);  // QEMU's
}

Result<void> Unplug::request() noexcept {
  for (UnplugDevice* device : context_.machine.unplug) {
    const std::string id(device->id());
    asked_.push_back(device);  // before: a request that failed half may have to be taken back
    TERN_TRY(device->request_unplug().context("unplugging device '" + id + "'"));
    context_.session.tell(UnplugRequested{id});
  }
  return {};
}

std::string Unplug::pending() const noexcept {
  std::string names;
  for (const UnplugDevice* device : asked_) {
    if (device->unplugged()) continue;
    names += (names.empty() ? "'" : ", '") + std::string(device->id()) + "'";
  }
  return names;
}

Result<void> Unplug::wait(SourceLink& link) noexcept {
  if (pending().empty()) {
    TERN_TRY(context_.session.post(Trigger::connected));
    return {};
  }
  TERN_TRY(context_.session.post(Trigger::unplug_wanted));
  const Nanoseconds until = context_.clock.now() + Milliseconds(context_.settings.unplug_timeout);
  for (std::string names = pending(); !names.empty(); names = pending()) {
    TERN_TRY(context_.check());
    TERN_TRY(link.keep_alive());
    if (link.channel().peer_closed()) {
      return Error(ErrorCode::channel, "the destination closed the connection during wait-unplug");
    }
    if (context_.clock.now() >= until) {
      return Error(ErrorCode::timed_out, "the guest did not let go of " + names + " within " +
                                             std::to_string(context_.settings.unplug_timeout) +
                                             " ms (x-unplug-timeout)");
    }
    context_.answers.sleep(kLookPeriod);
  }
  TERN_TRY(context_.session.post(Trigger::unplugged));
  return {};
}

void Unplug::undo() noexcept {
  for (UnplugDevice* device : std::exchange(asked_, {})) device->plug_back();
}

}  // namespace tern
