// SPDX-License-Identifier: Apache-2.0
//
// The migration state machine as one table. Everything that moves a migration from one status to
// another is a row here; docs/reference/states.md is printed from it. It knows nothing of threads,
// links or guests.
//
// The rows are the union of what QEMU 7.2 to 11.1 do. COLO, wait-unplug and the postcopy states
// have their rows although other engines use them: a management layer reads one list of states.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tern/events.h"

namespace tern {

enum class Side { source, destination };

/// What happened. One word for each thing that can move the machine.
enum class Trigger {
  start,          // migrate was accepted / listening began
  connected,      // the connection stands and the setup sections are sent / the stream begins
  unplug_wanted,  // a device must be unplugged by the guest first
  unplugged,      // it was
  paused_before_switchover,  // the guest stands still, waiting for migrate-continue
  switchover,                // the guest stands still, device state is being saved
  finished,                  // the destination confirmed / the guest is loaded and owned here
  postcopy_package,          // the device package was sent / its loading began
  postcopy_begun,            // the guest runs (or may run) at the destination, pages follow
  link_lost,                 // the connection broke where postcopy can wait for another
  resume,                    // migrate resume=true / a recovery connection is accepted
  reconnected,               // the recovery connection stands
  resumed,                   // both sides agreed to go on
  colo_begun,                // the first checkpoint
  cancel,                    // somebody asked to give up
  error,                     // something failed
  cleaned_up,                // all threads ended their work, the guest is given back
  listen_failed,             // binding the address failed: as if nothing had been asked
};
inline constexpr int kTriggerCount = 18;

std::string_view to_string(Side side) noexcept;
std::string_view to_string(Trigger trigger) noexcept;

struct Transition {
  Side side;
  Status from;
  Trigger on;
  Status to;
  std::string_view why;
};

namespace detail {
using enum Status;
using T = Trigger;
inline constexpr Side S = Side::source;
inline constexpr Side D = Side::destination;

inline constexpr auto kTransitionRows = std::to_array<Transition>({
    // ---- source
    {S, none, T::start, setup, "migrate was accepted; connecting begins"},
    {S, completed, T::start, setup, "the guest was taken back with cont; a new migration begins"},
    {S, failed, T::start, setup, "a failed migration does not prevent the next"},
    {S, cancelled, T::start, setup, "a cancelled migration does not prevent the next"},

    {S, setup, T::connected, active, "connected, setup sections sent: pages follow"},
    {S, setup, T::unplug_wanted, wait_unplug, "a failover primary must be unplugged by the guest"},
    {S, setup, T::cancel, cancelling, "given up while connecting"},
    {S, setup, T::error, failing, "cannot connect, or the peer refused the first words"},

    {S, wait_unplug, T::unplugged, active, "the guest let go of the device"},
    {S, wait_unplug, T::cancel, cancelling, "given up; the device is plugged back"},
    {S, wait_unplug, T::error, failing, "the link broke while waiting"},

    {S, active, T::paused_before_switchover, pre_switchover,
     "pause-before-switchover: the guest stands still and migrate-continue is awaited"},
    {S, active, T::switchover, device, "the guest stands still, the rest and its devices are sent"},
    {S, active, T::postcopy_begun, postcopy_active, "postcopy as in QEMU up to 9.2"},
    {S, active, T::cancel, cancelling, "given up; the guest was never stopped"},
    {S, active, T::error, failing, "link, peer or device failed; the guest was never stopped"},

    {S, pre_switchover, T::switchover, device, "migrate-continue"},
    {S, pre_switchover, T::postcopy_begun, postcopy_active, "postcopy as in QEMU 7.2"},
    {S, pre_switchover, T::cancel, cancelling, "given up; the guest runs on"},
    {S, pre_switchover, T::error, failing, "the link broke; the guest runs on"},

    {S, device, T::finished, completed, "the destination confirmed: the guest is its own"},
    {S, device, T::postcopy_begun, postcopy_active,
     "postcopy as in QEMU 10.0, or without return path"},
    {S, device, T::postcopy_package, postcopy_device, "the device package is on its way"},
    {S, device, T::colo_begun, colo, "the checkpoint loop begins"},
    {S, device, T::cancel, cancelling, "given up before the destination was told to start"},
    {S, device, T::error, failing, "failed before the destination confirmed"},

    {S, postcopy_device, T::postcopy_begun, postcopy_active, "the destination loaded the package"},
    {S, postcopy_device, T::error, failing, "the package did not arrive; the guest runs on here"},

    {S, postcopy_active, T::finished, completed, "every page arrived"},
    {S, postcopy_active, T::link_lost, postcopy_paused, "the link broke: both halves wait"},
    {S, postcopy_active, T::error, failing, "the destination said that it failed"},

    {S, postcopy_paused, T::resume, postcopy_recover_setup,
     "migrate resume=true: connecting again"},

    {S, postcopy_recover_setup, T::reconnected, postcopy_recover, "connected: comparing bitmaps"},
    {S, postcopy_recover_setup, T::link_lost, postcopy_paused, "could not connect"},
    {S, postcopy_recover_setup, T::error, postcopy_paused, "could not connect"},

    {S, postcopy_recover, T::resumed, postcopy_active, "the destination acknowledged"},
    {S, postcopy_recover, T::link_lost, postcopy_paused, "lost again"},
    {S, postcopy_recover, T::error, postcopy_paused, "the handshake failed: wait for another link"},

    {S, colo, T::finished, completed, "COLO ended in order"},
    {S, colo, T::cancel, cancelling, "COLO is shut down"},
    {S, colo, T::error, failing, "COLO ended by a failure"},

    {S, cancelling, T::cancel, cancelling, "asked twice"},
    {S, cancelling, T::error, cancelling, "errors while winding up are its consequence"},
    {S, cancelling, T::cleaned_up, cancelled, "the guest does what it did before"},
    {S, failing, T::cancel, failing, "it is ending already"},
    {S, failing, T::error, failing, "only the first error counts"},
    {S, failing, T::cleaned_up, failed,
     "the guest does what it did before, or the outcome is unknown"},

    // ---- destination
    {D, none, T::start, setup, "listening"},
    {D, failed, T::start, setup, "listening again in a process that survived its failure"},
    {D, setup, T::listen_failed, none, "the address cannot be bound"},
    {D, setup, T::connected, active, "a stream begins"},
    {D, setup, T::error, failed, "nobody can connect any more"},
    {D, setup, T::cancel, none, "the listener was taken down before anybody came"},

    {D, active, T::finished, completed, "loaded, and the guest is here"},
    {D, active, T::postcopy_package, postcopy_device, "the device package is being loaded"},
    {D, active, T::postcopy_begun, postcopy_active, "LISTEN, as in QEMU 7.2"},
    {D, active, T::colo_begun, colo, "checkpoints follow"},
    {D, active, T::cancel, failed, "given up by this side"},
    {D, active, T::error, failed, "the stream cannot be loaded, or ended early"},

    {D, postcopy_device, T::postcopy_begun, postcopy_active, "RUN: the guest is here"},
    {D, postcopy_device, T::error, failed,
     "the package cannot be loaded; the guest stays with the source"},

    {D, postcopy_active, T::finished, completed, "every page arrived"},
    {D, postcopy_active, T::link_lost, postcopy_paused, "the link broke: both halves wait"},
    {D, postcopy_active, T::error, failed, "failed before the guest ran here"},

    {D, postcopy_paused, T::resume, postcopy_recover, "a recovery connection was accepted"},
    {D, postcopy_recover, T::resumed, postcopy_active, "both sides agreed"},
    {D, postcopy_recover, T::link_lost, postcopy_paused, "lost again"},
    {D, postcopy_recover, T::error, postcopy_paused, "the handshake failed: wait for another link"},

    {D, colo, T::finished, completed, "failover: the guest is here"},
    {D, colo, T::error, failed, "COLO ended by a failure"},
});

constexpr bool rows_are_unique() {
  for (size_t i = 0; i < kTransitionRows.size(); ++i) {
    for (size_t j = i + 1; j < kTransitionRows.size(); ++j) {
      const auto& a = kTransitionRows[i];
      const auto& b = kTransitionRows[j];
      if (a.side == b.side && a.from == b.from && a.on == b.on) return false;
    }
  }
  return true;
}
constexpr bool all_reachable(Side side, std::initializer_list<Status> absent) {
  std::array<bool, kStatusCount> seen{};
  seen[static_cast<size_t>(none)] = true;
  for (size_t round = 0; round < kTransitionRows.size(); ++round) {
    for (const auto& row : kTransitionRows) {
      if (row.side == side && seen[static_cast<size_t>(row.from)]) {
        seen[static_cast<size_t>(row.to)] = true;
      }
    }
  }
  for (const Status s : absent) seen[static_cast<size_t>(s)] = true;
  for (const bool s : seen) {
    if (!s) return false;
  }
  return true;
}
static_assert(rows_are_unique(), "one answer for each side, state and trigger");
static_assert(all_reachable(S, {}), "every state of the source can be reached");
static_assert(all_reachable(D, {wait_unplug, pre_switchover, device, postcopy_recover_setup,
                                cancelling, cancelled, failing}),
              "every state of the destination can be reached");
}  // namespace detail

constexpr std::span<const Transition> transitions() noexcept { return detail::kTransitionRows; }

/// Where `on` leads from `from`, or nothing if it is illegal there.
constexpr std::optional<Status> next_status(Side side, Status from, Trigger on) noexcept {
  for (const auto& row : detail::kTransitionRows) {
    if (row.side == side && row.from == from && row.on == on) return row.to;
  }
  return std::nullopt;
}

/// "Running" as QEMU means it: blocks a second migrate and capability changes.
constexpr bool is_running(Status status) noexcept {
  return status != Status::none && status != Status::completed && status != Status::failed &&
         status != Status::cancelled;
}

/// The page docs/reference/states.md, as Markdown.
std::string states_page() noexcept;

}  // namespace tern
