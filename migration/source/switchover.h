// SPDX-License-Identifier: Apache-2.0
//
// Switchover: from the moment the guest is stopped to the moment it is known whose it is. It owns
// the pause guard and the point of no return, and accounts the downtime by phase.
#pragma once

#include <optional>

#include "migration/source/precopy.h"
#include "tern/vcpu_control.h"

namespace tern {

/// One thread (mig/src/main).
class Switchover {
 public:
  Switchover(SourceContext& context, SourceLink& link, Precopy& precopy) noexcept
      : context_(context), link_(link), precopy_(precopy) {}

  /// Stops the guest and hands it over. After success the guest is the destination's. After an
  /// error either undo() gives it back, or the error is outcome_unknown and it stays stopped.
  Result<void> run() noexcept;

  const DowntimePhases& phases() const noexcept { return phases_; }

  /// Gives the guest back if it was stopped and nobody else may have it. Idempotent.
  Result<void> undo() noexcept;

 private:
  Result<void> stop_guest() noexcept;
  Result<void> wait_for_continue() noexcept;
  Result<void> send_devices() noexcept;
  Result<void> hand_over_to_tern() noexcept;
  Result<void> hand_over_to_qemu() noexcept;
  Result<void> put_end_of_stream() noexcept;
  Result<void> commit() noexcept;
  Result<void> await_shut() noexcept;
  Error unknown(const Error& cause) noexcept;
  void phase(Nanoseconds DowntimePhases::*which) noexcept;

  SourceContext& context_;
  SourceLink& link_;
  Precopy& precopy_;
  std::optional<VcpuPauseGuard> guard_;
  DowntimePhases phases_;
  Nanoseconds mark_{0};
  std::string vmdesc_;
};

}  // namespace tern
