// SPDX-License-Identifier: Apache-2.0
#include "migration/state/transitions.h"

#include <string>

namespace tern {

std::string_view to_string(Status status) noexcept {
  switch (status) {
    case Status::none:
      return "none";
    case Status::setup:
      return "setup";
    case Status::wait_unplug:
      return "wait-unplug";
    case Status::active:
      return "active";
    case Status::pre_switchover:
      return "pre-switchover";
    case Status::device:
      return "device";
    case Status::postcopy_device:
      return "postcopy-device";
    case Status::postcopy_active:
      return "postcopy-active";
    case Status::postcopy_paused:
      return "postcopy-paused";
    case Status::postcopy_recover_setup:
      return "postcopy-recover-setup";
    case Status::postcopy_recover:
      return "postcopy-recover";
    case Status::colo:
      return "colo";
    case Status::cancelling:
      return "cancelling";
    case Status::cancelled:
      return "cancelled";
    case Status::failing:
      return "failing";
    case Status::failed:
      return "failed";
    case Status::completed:
      return "completed";
  }
  return "none";
}

std::string_view to_string(Side side) noexcept {
  return side == Side::source ? "source" : "destination";
}

std::string_view to_string(Trigger trigger) noexcept {
  switch (trigger) {
    case Trigger::start:
      return "start";
    case Trigger::connected:
      return "connected";
    case Trigger::unplug_wanted:
      return "unplug_wanted";
    case Trigger::unplugged:
      return "unplugged";
    case Trigger::paused_before_switchover:
      return "paused_before_switchover";
    case Trigger::switchover:
      return "switchover";
    case Trigger::finished:
      return "finished";
    case Trigger::postcopy_package:
      return "postcopy_package";
    case Trigger::postcopy_begun:
      return "postcopy_begun";
    case Trigger::link_lost:
      return "link_lost";
    case Trigger::resume:
      return "resume";
    case Trigger::reconnected:
      return "reconnected";
    case Trigger::resumed:
      return "resumed";
    case Trigger::colo_begun:
      return "colo_begun";
    case Trigger::cancel:
      return "cancel";
    case Trigger::error:
      return "error";
    case Trigger::cleaned_up:
      return "cleaned_up";
    case Trigger::listen_failed:
      return "listen_failed";
  }
  return "error";
}

std::string states_page() noexcept {
  std::string page =
      "# Migration states\n\n"
      "Printed from the table in `migration/state/transitions.h`; a test compares this page with "
      "it.\n"
      "An event that has no row for the present state is refused with an error that names both.\n\n"
      "`failing`, `postcopy-device` and `postcopy-recover-setup` are reported only in the dialects "
      "of QEMU that have\n"
      "them (`x-peer-version` qemu-11.0, qemu-10.2 and qemu-9.1 or later); otherwise the state "
      "before, or\n"
      "`postcopy-active`, stands in `query-migrate` and no event is sent.\n";
  for (const Side side : {Side::source, Side::destination}) {
    page += "\n## " + std::string(to_string(side)) +
            "\n\n| from | event | to | why |\n|---|---|---|---|\n";
    for (const Transition& row : transitions()) {
      if (row.side != side) continue;
      page += "| `" + std::string(to_string(row.from)) + "` | `" + std::string(to_string(row.on)) +
              "` | `" + std::string(to_string(row.to)) + "` | " + std::string(row.why) + " |\n";
    }
  }
  return page;
}

}  // namespace tern
