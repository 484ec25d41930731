// SPDX-License-Identifier: Apache-2.0
//
// The memory slots of a KVM guest, as both of KVM's trackers need them: checked, named in errors,
// and with dirty logging switched on and off. Owns nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tern/dirty_tracker.h"

namespace tern {

/// "KVM slot 3 (address space 0)".
std::string slot_name(const KvmSlot& slot);

/// Errors: invalid_argument naming the slot; `what` names the tracker.
Result<void> check_vm(const KvmVm& vm, std::string_view what) noexcept;

/// Whether each slot lies in its block. Errors: invalid_argument naming the slot.
Result<void> check_slots(std::span<const KvmSlot> slots, std::span<const RamBlock> blocks) noexcept;

/// Errors: unsupported, resource_exhausted, with errno.
Result<void> set_dirty_logging(int vm_fd, const KvmSlot& slot, const RamBlock& block,
                               bool on) noexcept;

/// ioctl, again after EINTR.
int retry_ioctl(int fd, unsigned long request, void* argument) noexcept;

}  // namespace tern
