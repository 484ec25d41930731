// SPDX-License-Identifier: Apache-2.0
//
// One KVM vCPU: its descriptor, its shared page, the loop around KVM_RUN. Hands port accesses to
// the machine; knows no device and starts no thread.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "tern/device_section.h"
#include "tern/log.h"
#include "tools/vmm/crew.h"
#include "tools/vmm/fd.h"
#include "tools/vmm/kvm_cpuid.h"
#include "tools/vmm/kvm_vcpu_state.h"

namespace tern::vmm {

/// The machine's I/O ports, and what else a vCPU stops for. Called on vCPU threads, several at
/// once.
class PortBus {
 public:
  virtual ~PortBus() = default;
  virtual uint8_t in(uint16_t port) noexcept = 0;
  /// Returns false if the access ends the guest (reset).
  virtual bool out(uint16_t port, uint8_t value) noexcept = 0;
  /// vCPU `index` does not go on before its dirty ring was emptied.
  virtual Result<void> dirty_ring_full(uint32_t /*index*/) noexcept { return {}; }
};

/// Why a vCPU runs no more. Migrates as a number.
enum class VcpuEnd : uint8_t { none, halted, shut_down, crashed };

/// Thread rules: run on the vCPU's thread; kick from any; the rest while it is parked.
class KvmVcpu final : public DeviceSection {
 public:
  struct Host {
    int kvm_fd = -1;
    int vm_fd = -1;
    size_t run_bytes = 0;  ///< KVM_GET_VCPU_MMAP_SIZE
    const Cpuid* cpuid = nullptr;
  };
  /// Registers are those of a real-mode start at 0:0x7c00. Errors: device.
  static Result<std::unique_ptr<KvmVcpu>> create(const Host& host, uint32_t index, PortBus& bus,
                                                 LogSink& log) noexcept;
  ~KvmVcpu() override;

  int fd() const noexcept { return fd_.get(); }
  /// Must be told before the first save or load; `crew` before the first run.
  void attach(const KvmStateFormat& format, const Crew& crew) noexcept;

  /// Runs until the crew stops or the vCPU ends. Returns with no access half done.
  VcpuEnd run() noexcept;
  /// Makes run come back. The caller also sends the kick signal to the thread.
  void kick() noexcept;

  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override;
  Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept override;

 private:
  KvmVcpu(uint32_t index, PortBus& bus, LogSink& log) noexcept;
  Result<void> set_start_registers() noexcept;
  /// false: the vCPU ended.
  bool handle_exit() noexcept;
  bool port_access() noexcept;
  void crash(const std::string& why) noexcept;

  const SectionId id_;
  const uint32_t index_;
  PortBus& bus_;
  LogSink& log_;
  UniqueFd fd_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  const Cpuid* host_cpuid_ = nullptr;
  Cpuid cpuid_;
  const KvmStateFormat* format_ = nullptr;
  const Crew* crew_ = nullptr;
  VcpuEnd end_ = VcpuEnd::none;
};

}  // namespace tern::vmm
