// SPDX-License-Identifier: Apache-2.0
//
// The public way to a control plane: with the real engine.
#include "migration/qmp/control_plane.h"

namespace tern {

Result<std::unique_ptr<ControlPlane>> ControlPlane::create(const Machine& machine, QmpVm& vm,
                                                           const QmpOptions& options) noexcept {
  return qmp::ControlPlaneImpl::create(machine, vm, options,
                                       {&MigrationSource::create, &MigrationDestination::create});
}

}  // namespace tern
