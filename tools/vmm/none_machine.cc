// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/none_machine.h"

namespace tern::vmm {
namespace {

class NoneMachine final : public VmMachine {
 public:
  NoneMachine(Ram ram, LogSink& log) noexcept : VmMachine(std::move(ram), log) {}

  std::string_view name() const noexcept override { return "none"; }
  uint32_t vcpus() const noexcept override { return 0; }
  std::span<DeviceSection* const> devices() noexcept override { return {}; }
  Result<std::unique_ptr<DirtyTracker>> make_tracker(LogSink&) noexcept override {
    return make_fed_tracker();
  }

 protected:
  Result<void> stop_vcpus() noexcept override { return {}; }
  Result<void> start_vcpus() noexcept override { return {}; }
};

}  // namespace

std::unique_ptr<VmMachine> make_none_machine(Ram ram, LogSink& log) noexcept {
  return std::make_unique<NoneMachine>(std::move(ram), log);
}

}  // namespace tern::vmm
