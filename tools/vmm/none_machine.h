// SPDX-License-Identifier: Apache-2.0
//
// RAM and nothing else: the peer of QEMU's `-machine none`. It runs and stops like the others, with
// nothing executing; only qtest writes its memory.
#pragma once

#include <memory>

#include "tools/vmm/machine.h"

namespace tern::vmm {

/// Never fails: there is nothing to set up.
std::unique_ptr<VmMachine> make_none_machine(Ram ram, LogSink& log) noexcept;

}  // namespace tern::vmm
