// SPDX-License-Identifier: Apache-2.0
//
// The smallest PC that runs a boot sector under KVM: flat RAM, vCPUs that start at 0:0x7c00 in real
// mode, a serial port, port 0x92. No interrupt controller, no timer: nothing runs between two steps
// of the guest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tools/vmm/guest_params.h"
#include "tools/vmm/machine.h"
#include "tools/vmm/serial.h"

namespace tern::vmm {

/// Where RAM stops below 4 GiB (RamOptions::hole_start); KVM's own pages lie in the hole.
inline constexpr uint64_t kKvmHoleStart = 3ull << 30;
inline constexpr uint64_t kBootGpa = 0x7c00;
/// A boot image may reach up to the lowest address of the guest's range.
inline constexpr uint64_t kMaxBootBytes = kLowestRangeStart - kBootGpa;

struct KvmOptions {
  GuestParams params;             ///< ticks_per_page is ignored: see pages_per_second
  uint64_t pages_per_second = 0;  ///< all vCPUs together, 0 = full speed; needs the host's TSC rate
  std::vector<std::byte> boot;    ///< loaded at 0x7c00; empty: the test guest
  bool incoming = false;          ///< RAM, and with it the boot sector, comes with the stream
  uint32_t dirty_ring = 0;        ///< entries of each vCPU's dirty ring; 0: KVM's dirty log
};

/// Sections: "tern-kvm/cpu" per vCPU, "tern-kvm/serial", "tern-kvm/port92". Takes SIGUSR1 of the
/// process to stop vCPUs. Errors: unsupported (no KVM, with the reason), invalid_argument,
/// resource_exhausted.
Result<std::unique_ptr<VmMachine>> make_kvm_machine(Ram ram, const KvmOptions& options,
                                                    SerialSink serial, LogSink& log) noexcept;

/// The boot sector of the test guest that is built into the program.
std::span<const std::byte> built_in_guest() noexcept;

}  // namespace tern::vmm
