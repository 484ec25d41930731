// SPDX-License-Identifier: Apache-2.0
//
// All that KVM keeps of one vCPU, into and out of a device section. Owns nothing; knows ioctls and
// fields, not threads or exits.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

#include "tern/device_section.h"
#include "tern/result.h"

namespace tern::vmm {

/// What this host's KVM can read and set, found out once per VM.
struct KvmStateFormat {
  uint32_t xsave_bytes = 4096;
  bool xsave2 = false;
  std::vector<uint32_t> msrs;  ///< those that can be read and set
};

/// Asks KVM, and tries every MSR of its list on a fresh vCPU. Errors: unsupported.
Result<KvmStateFormat> probe_state_format(int kvm_fd, int vm_fd, int vcpu_fd) noexcept;

/// The vCPU must be out of KVM_RUN with no half-done input or output. Errors: device.
Result<void> save_vcpu_state(int vcpu_fd, const KvmStateFormat& format,
                             DeviceWriter& writer) noexcept;

/// Reads it all, then gives it to KVM. Errors: those of the reader; device (KVM refuses a value).
Result<void> load_vcpu_state(int vcpu_fd, const KvmStateFormat& format, DeviceReader& reader,
                             kvm_run& run) noexcept;

}  // namespace tern::vmm
