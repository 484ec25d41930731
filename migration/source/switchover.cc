// SPDX-License-Identifier: Apache-2.0
#include "migration/source/switchover.h"

#include <array>
#include <cstring>

#include "migration/device_state/globalstate.h"
#include "migration/stream/vmdesc.h"

namespace tern {

void Switchover::phase(Nanoseconds DowntimePhases::*which) noexcept {
  const Nanoseconds now = context_.clock.now();
  phases_.*which += now - mark_;
  mark_ = now;
  context_.progress.set_downtime(phases_, false);
}

Result<void> Switchover::run() noexcept {
  TERN_TRY(stop_guest());
  if (context_.settings.pause_before_switchover) TERN_TRY(wait_for_continue());
  TERN_TRY(context_.session.post(Trigger::switchover));
  TERN_TRY(precopy_.final_sync());
  phase(&DowntimePhases::final_sync);
  if (context_.dialect >= PeerVersion::qemu_10_0) {
    TERN_TRY(write_command(link_.out(), Command::switchover_start, {}));
  }
  TERN_TRY(precopy_.send_rest());
  phase(&DowntimePhases::last_pages);
  TERN_TRY(send_devices());
  phase(&DowntimePhases::device_save);
  if (link_.speaks(kFeatureGo)) {
    TERN_TRY(hand_over_to_tern());
  } else {
    TERN_TRY(hand_over_to_qemu());
  }
  phase(&DowntimePhases::peer_load);
  // From here on the guest is the destination's.
  std::move(*guard_).release(RunState::postmigrate);
  guard_.reset();
  context_.progress.transferred.set(link_.out().accepted());
  context_.progress.remaining.set(0);
  context_.progress.dirty_pages_rate.set(0);
  context_.progress.set_downtime(phases_, true);
  context_.progress.set_expected_downtime(std::nullopt);
  context_.progress.set_ending(Ending::handed_over);
  return {};
}

Result<void> Switchover::undo() noexcept {
  if (!guard_) return {};
  auto result = std::move(*guard_).undo();
  guard_.reset();
  return result;
}

Result<void> Switchover::stop_guest() noexcept {
  mark_ = context_.clock.now();
  guard_.emplace(
      TERN_TRY(VcpuPauseGuard::pause(*context_.machine.vcpus).context("stopping the guest")));
  phase(&DowntimePhases::stop_vcpus);
  return {};
}

Result<void> Switchover::wait_for_continue() noexcept {
  TERN_TRY(context_.session.post(Trigger::paused_before_switchover));
  // The operator may take hours; the peer may not. In tern's dialect pings tell whether it is
  // there.
  while (!context_.continue_asked.load()) {
    TERN_TRY(context_.check());
    TERN_TRY(link_.keep_alive());
    if (link_.channel().peer_closed()) {
      return Error(ErrorCode::channel,
                   "the destination closed the connection during pre-switchover");
    }
    context_.answers.sleep(Milliseconds(100));
  }
  phase(&DowntimePhases::paused);
  return {};
}

Result<void> Switchover::send_devices() noexcept {
  StreamWriter& out = link_.out();
  VmDescriptionWriter description;
  uint32_t section_id = kRamSectionId + 1;
  GlobalState globalstate(guard_->before());
  std::vector<DeviceSection*> sections(context_.machine.devices.begin(),
                                       context_.machine.devices.end());
  sections.push_back(&globalstate);
  for (DeviceSection* device : sections) {
    const SectionId& id = device->id();
    DeviceWriter body;
    TERN_TRY(device->save(body).context("saving device '" + id.idstr + "'"));
    if (body.size() > kMaxDeviceBody) {
      return Error(ErrorCode::device, "device '" + id.idstr + "' saved more than 64 MiB");
    }
    TERN_TRY(write_section_header(out, kItemSectionFull,
                                  {section_id, id.idstr, id.instance_id, id.version_id}));
    TERN_TRY(out.put(body.bytes()));
    TERN_TRY(write_footer(out, section_id));
    description.add(id, body);
    ++section_id;
  }
  TERN_TRY(out.flush());
  vmdesc_ = description.finish(kTargetPageBytes);
  return context_.check();
}

Result<void> Switchover::put_end_of_stream() noexcept {
  StreamWriter& out = link_.out();
  TERN_TRY(out.put_u8(kItemEof));
  TERN_TRY(out.put_u8(kItemVmDescription));
  TERN_TRY(out.put_be32(static_cast<uint32_t>(vmdesc_.size())));
  TERN_TRY(out.put(std::as_bytes(std::span(vmdesc_))));
  return out.flush();
}

Result<void> Switchover::commit() noexcept {
  TERN_TRY(context_.check());
  if (!context_.commit.commit(context_.session)) {
    return Error(ErrorCode::cancelled, "the migration was cancelled");
  }
  return {};
}

// tern to tern: the destination loads everything and says so; only the go makes it run. Until the
// go has left, a failure is certain to leave the guest here; after it, only SHUT tells.
Result<void> Switchover::hand_over_to_tern() noexcept {
  TERN_TRY(put_end_of_stream());
  TERN_TRY(context_.answers.wait(
      context_.deadline("x-final-timeout", context_.settings.final_timeout), [&](const auto& said) {
        return said.loaded || said.shut || said.error ||
               context_.session.status() == Status::cancelling;
      }));
  TERN_TRY(commit());
  StreamWriter& out = link_.out();
  const uint64_t before = out.offset();
  Result<void> sent = write_command(out, Command::tern_go, {});
  if (sent) sent = out.flush();
  if (!sent) {
    // Not a byte of the go has left: the destination does not run.
    if (out.accepted() == before) return std::move(sent).error();
    return unknown(sent.error());
  }
  return await_shut();
}

// To QEMU: it runs the guest as soon as it has read the end of the stream.
Result<void> Switchover::hand_over_to_qemu() noexcept {
  TERN_TRY(commit());
  StreamWriter& out = link_.out();
  const uint64_t before = out.accepted();
  const Result<void> sent = put_end_of_stream();
  if (!sent) {
    if (out.accepted() == before) return sent.error();
    return unknown(sent.error());
  }
  if (!link_.has_return_path()) {
    // "completed" means here that the kernel took every byte; nobody can say more.
    link_.channel().finish_writing();
    return {};
  }
  return await_shut();
}

Result<void> Switchover::await_shut() noexcept {
  const Result<void> answered =
      context_.answers.wait(context_.deadline("x-final-timeout", context_.settings.final_timeout),
                            [](const auto& said) { return said.shut || said.error; });
  answered.ignore("what was said decides; without a word its error is the cause below");
  const auto said = context_.answers.said();
  if (said.shut) {
    if (*said.shut == 0) return {};
    return Error(ErrorCode::device, "the destination could not take the guest (SHUT " +
                                        std::to_string(*said.shut) + "); its own message says why");
  }
  return unknown(said.error ? *said.error : answered.error());
}

Error Switchover::unknown(const Error& cause) noexcept {
  std::move(*guard_).release(RunState::postmigrate);
  guard_.reset();
  context_.progress.set_ending(Ending::unknown);
  return Error(ErrorCode::outcome_unknown,
               "outcome unknown: the connection was lost after the destination may have started "
               "the guest (" +
                   cause.message() +
                   "). The guest is stopped and complete here; make sure that it does not run at "
                   "the destination, "
                   "then 'cont' revives it here");
}

}  // namespace tern
