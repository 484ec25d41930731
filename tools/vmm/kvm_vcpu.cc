// SPDX-License-Identifier: Apache-2.0
//
// How a vCPU stops: kick() sets immediate_exit and the caller sends a signal. The signal ends a
// KVM_RUN under way; one that begins afterwards sees immediate_exit. In both cases KVM first
// completes the port access of the exit before, so when run() returns the registers stand after
// that instruction and nothing is done twice.
#include "tools/vmm/kvm_vcpu.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <span>

#include "tools/vmm/guest_params.h"

namespace tern::vmm {
namespace {

constexpr uint64_t kBootAddress = 0x7c00;
constexpr uint64_t kRflagsFixed = 2;

std::string hex(uint64_t value) noexcept {
  char text[24];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

KvmVcpu::KvmVcpu(uint32_t index, PortBus& bus, LogSink& log) noexcept
    : id_{"tern-kvm/cpu", index}, index_(index), bus_(bus), log_(log) {}

Result<std::unique_ptr<KvmVcpu>> KvmVcpu::create(const Host& host, uint32_t index, PortBus& bus,
                                                 LogSink& log) noexcept {
  std::unique_ptr<KvmVcpu> vcpu(new KvmVcpu(index, bus, log));
  vcpu->fd_ = UniqueFd(::ioctl(host.vm_fd, KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
  if (!vcpu->fd_) return errno_error(ErrorCode::device, "KVM_CREATE_VCPU", errno);
  void* memory =
      ::mmap(nullptr, host.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd_.get(), 0);
  if (memory == MAP_FAILED) return errno_error(ErrorCode::device, "mapping the vCPU", errno);
  vcpu->run_ = static_cast<kvm_run*>(memory);
  vcpu->run_bytes_ = host.run_bytes;
  vcpu->host_cpuid_ = host.cpuid;
  vcpu->cpuid_ = cpuid_for_vcpu(*host.cpuid, index);
  TERN_TRY(set_cpuid(vcpu->fd_.get(), vcpu->cpuid_));
  TERN_TRY(vcpu->set_start_registers());
  return vcpu;
}

KvmVcpu::~KvmVcpu() {
  if (run_ != nullptr) ::munmap(run_, run_bytes_);
}

void KvmVcpu::attach(const KvmStateFormat& format, const Crew& crew) noexcept {
  format_ = &format;
  crew_ = &crew;
}

Result<void> KvmVcpu::set_start_registers() noexcept {
  kvm_sregs sregs{};
  if (::ioctl(fd_.get(), KVM_GET_SREGS, &sregs) != 0) {
    return errno_error(ErrorCode::device, "KVM_GET_SREGS", errno);
  }
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  kvm_regs regs{};
  regs.rip = kBootAddress;
  regs.rflags = kRflagsFixed;
  regs.rax = kVcpuMagic;
  regs.rbx = index_;
  if (::ioctl(fd_.get(), KVM_SET_SREGS, &sregs) != 0 ||
      ::ioctl(fd_.get(), KVM_SET_REGS, &regs) != 0) {
    return errno_error(ErrorCode::device, "setting the start registers", errno);
  }
  return {};
}

void KvmVcpu::kick() noexcept { __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST); }

VcpuEnd KvmVcpu::run() noexcept {
  // Partner: Crew::stop makes stopping() true before it calls kick. Either kick's store comes after
  // ours and KVM sees it, or stopping() is already true here.
  __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_SEQ_CST);
  if (crew_->stopping()) return end_;
  while (end_ == VcpuEnd::none) {
    if (crew_->held(index_)) crew_->wait_while_held(index_);
    if (::ioctl(fd_.get(), KVM_RUN, 0) == 0) {
      if (!handle_exit()) break;
    } else if (errno == EINTR) {
      // Or else it is to be held: the next turn sees that. The same two steps as above, because the
      // crew may stop at this moment.
      __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_SEQ_CST);
      if (crew_->stopping()) break;
    } else if (errno != EAGAIN) {
      crash(errno_error(ErrorCode::device, "KVM_RUN", errno).message());
    }
  }
  return end_;
}

bool KvmVcpu::handle_exit() noexcept {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      return port_access();
    case KVM_EXIT_MMIO:
      // No device lives in memory: reads float high, writes are lost.
      if (run_->mmio.is_write == 0) {
        for (auto& byte : run_->mmio.data) byte = 0xff;
      }
      return true;
    case KVM_EXIT_DIRTY_RING_FULL:
      if (auto emptied = bus_.dirty_ring_full(index_); !emptied) {
        crash(emptied.error().message());
        return false;
      }
      return !crew_->stopping();
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return true;
    case KVM_EXIT_HLT:
      // No device interrupts anybody here, so this is for ever.
      end_ = VcpuEnd::halted;
      log_.log(LogLevel::info, "vCPU " + std::to_string(index_) + " halted");
      return false;
    case KVM_EXIT_SHUTDOWN:
      end_ = VcpuEnd::shut_down;
      log_.log(LogLevel::warning, "vCPU " + std::to_string(index_) + ": triple fault");
      return false;
    case KVM_EXIT_SYSTEM_EVENT:
      end_ = VcpuEnd::shut_down;
      return false;
    case KVM_EXIT_INTERNAL_ERROR:
      crash("KVM internal error, suberror " + std::to_string(run_->internal.suberror));
      return false;
    case KVM_EXIT_FAIL_ENTRY:
      crash("entry failed, hardware reason " + hex(run_->fail_entry.hardware_entry_failure_reason));
      return false;
    default:
      crash("unknown KVM exit " + std::to_string(run_->exit_reason));
      return false;
  }
}

bool KvmVcpu::port_access() noexcept {
  const auto& io = run_->io;
  const size_t bytes = size_t{io.size} * io.count;
  // KVM put the offset there, for its own page.
  auto* data = reinterpret_cast<uint8_t*>(run_) + io.data_offset;
  bool goes_on = true;
  for (size_t i = 0; i < bytes; ++i) {
    const auto port = static_cast<uint16_t>(io.port + i % io.size);
    if (io.direction == KVM_EXIT_IO_IN) {
      data[i] = bus_.in(port);
    } else if (!bus_.out(port, data[i])) {
      goes_on = false;
    }
  }
  if (!goes_on) end_ = VcpuEnd::shut_down;
  return goes_on;
}

void KvmVcpu::crash(const std::string& why) noexcept {
  end_ = VcpuEnd::crashed;
  kvm_regs regs{};
  if (::ioctl(fd_.get(), KVM_GET_REGS, &regs) != 0) regs.rip = 0;
  log_.log(LogLevel::error,
           "vCPU " + std::to_string(index_) + " crashed at rip " + hex(regs.rip) + ": " + why);
}

Result<void> KvmVcpu::save(DeviceWriter& writer) noexcept {
  if (!crew_->parked()) return Error(ErrorCode::failed_precondition, "the vCPUs are running");
  writer.put_u8("end", static_cast<uint8_t>(end_));
  save_cpuid(cpuid_, writer);
  return save_vcpu_state(fd_.get(), *format_, writer);
}

Result<void> KvmVcpu::load(DeviceReader& reader, uint32_t /*version_id*/) noexcept {
  if (!crew_->parked()) return Error(ErrorCode::failed_precondition, "the vCPUs are running");
  const uint8_t end = TERN_TRY(reader.get_u8("end"));
  if (end > static_cast<uint8_t>(VcpuEnd::crashed)) {
    return reader.bad_value("end", "not a way in which a vCPU ends");
  }
  Cpuid cpuid = TERN_TRY(load_cpuid(reader));
  TERN_TRY(check_cpuid(*host_cpuid_, cpuid));
  TERN_TRY(set_cpuid(fd_.get(), cpuid));
  TERN_TRY(load_vcpu_state(fd_.get(), *format_, reader, *run_));
  cpuid_ = std::move(cpuid);
  end_ = static_cast<VcpuEnd>(end);
  return {};
}

}  // namespace tern::vmm
