// SPDX-License-Identifier: Apache-2.0
//
// A machine without KVM: its "vCPUs" are threads of this process that do to RAM what the test guest
// does (guest_params.h), tracked by write protection. For hosts without KVM, and for tests under
// sanitizers.
#pragma once

#include <memory>

#include "tools/vmm/guest_params.h"
#include "tools/vmm/machine.h"
#include "tools/vmm/serial.h"

namespace tern::vmm {

struct ThreadsOptions {
  GuestParams params;     ///< ticks are nanoseconds
  bool incoming = false;  ///< RAM and parameters come with the stream
  WriteProtectMode tracking = WriteProtectMode::automatic;
};

/// Sections: "tern-threads/cpu" per thread, "tern-threads/serial". Errors: invalid_argument
/// (parameters and RAM do not fit), resource_exhausted.
Result<std::unique_ptr<VmMachine>> make_threads_machine(Ram ram, const ThreadsOptions& options,
                                                        SerialSink serial, LogSink& log) noexcept;

}  // namespace tern::vmm
