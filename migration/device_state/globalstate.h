// SPDX-License-Identifier: Apache-2.0
//
// The section "globalstate", both directions: the run state the guest had before the migration
// stopped it.
//
//   be32 strlen+1   runstate[100], NUL padded        (QEMU 7.2; newer ones use runstate[32] and two flags, same size)
//
// Version 1, instance 0, 104 bytes. The size field is not checked, as QEMU does not; the text must
// be a known run state ending inside its field.
#pragma once

#include "tern/device_section.h"
#include "tern/vcpu_control.h"

namespace tern {

inline constexpr size_t kMaxDeviceBody = 64u << 20;

class GlobalState final : public DeviceSection {
 public:
  explicit GlobalState(RunState state) noexcept;
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override;
  Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept override;
  RunState run_state() const noexcept { return state_; }

 private:
  SectionId id_;
  RunState state_;
};

}  // namespace tern
