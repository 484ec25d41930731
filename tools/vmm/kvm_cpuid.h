// SPDX-License-Identifier: Apache-2.0
//
// The CPUID table a KVM vCPU shows to its guest. It migrates: a guest that moved sees the CPU it
// started on, and a host that lacks one of its features refuses it. Knows nothing of other vCPU
// state.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

#include "tern/device_section.h"
#include "tern/result.h"

namespace tern::vmm {

using Cpuid = std::vector<kvm_cpuid_entry2>;

/// What this host can give, without KVM's own leaves: the guest needs no paravirtualization, and
/// their state would have to migrate. Errors: unsupported.
Result<Cpuid> supported_cpuid(int kvm_fd) noexcept;

/// The same table for vCPU `index`: the leaves that tell the local APIC's number.
Cpuid cpuid_for_vcpu(Cpuid table, uint32_t index) noexcept;

/// Errors: device. A vCPU takes it only before it ran.
Result<void> set_cpuid(int vcpu_fd, const Cpuid& table) noexcept;

/// Errors: device, naming leaf, register and bits that `wanted` has and `host` lacks.
Result<void> check_cpuid(const Cpuid& host, const Cpuid& wanted) noexcept;

void save_cpuid(const Cpuid& table, DeviceWriter& writer) noexcept;
/// Errors: those of the reader; peer_protocol (too many entries).
Result<Cpuid> load_cpuid(DeviceReader& reader) noexcept;

}  // namespace tern::vmm
