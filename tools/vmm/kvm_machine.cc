// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/kvm_machine.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>

#include "tools/vmm/guest/guest_bin.h"
#include "tools/vmm/kvm_vcpu.h"

namespace tern::vmm {
namespace {

constexpr int kKickSignal = SIGUSR1;
constexpr uint16_t kPort92 = 0x92;
constexpr uint8_t kPort92Reset = 0x01;
constexpr uint8_t kPort92A20 = 0x02;
// Intel needs three pages and one more of its own in guest-physical space; they lie in the hole.
constexpr unsigned long kTssAddress = 0xfffbd000;
constexpr uint64_t kIdentityMapAddress = 0xfffbc000;

/// System control port A: the A20 gate, which is always open here, and the fast reset.
class Port92 final : public DeviceSection {
 public:
  uint8_t in() const noexcept { return value_; }
  /// false: the guest asked for a reset.
  bool out(uint8_t value) noexcept {
    value_ = static_cast<uint8_t>(value & ~kPort92Reset);
    return (value & kPort92Reset) == 0;
  }
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override {
    writer.put_u8("value", value_);
    return {};
  }
  Result<void> load(DeviceReader& reader, uint32_t /*version_id*/) noexcept override {
    value_ = static_cast<uint8_t>(TERN_TRY(reader.get_u8("value")) & ~kPort92Reset);
    return {};
  }

 private:
  const SectionId id_{"tern-kvm/port92"};
  std::atomic<uint8_t> value_ = kPort92A20;
};

class KvmMachine final : public VmMachine, private PortBus {
 public:
  KvmMachine(Ram ram, const KvmOptions& options, SerialSink sink, LogSink& log) noexcept
      : VmMachine(std::move(ram), log),
        options_(options),
        serial_("tern-kvm/serial", std::move(sink)) {}

  Result<void> set_up() noexcept {
    TERN_TRY(check_params(options_.params, this->ram()[0].used_bytes));
    if (options_.boot.size() > kMaxBootBytes) {
      return Error(ErrorCode::invalid_argument,
                   "the boot image has " + std::to_string(options_.boot.size()) + " bytes, limit " +
                       std::to_string(kMaxBootBytes));
    }
    TERN_TRY(open_kvm());
    TERN_TRY(create_vm());
    TERN_TRY(create_vcpus());
    return options_.incoming ? Result<void>() : load_guest();
  }

  std::string_view name() const noexcept override { return "tern-kvm"; }
  uint32_t vcpus() const noexcept override { return options_.params.vcpus; }
  std::span<DeviceSection* const> devices() noexcept override { return devices_; }
  Result<std::unique_ptr<DirtyTracker>> make_tracker(LogSink& log) noexcept override {
    const KvmVm vm{vm_.get(), slots_};
    if (options_.dirty_ring == 0) return make_kvm_bitmap_tracker(vm, log);
    std::vector<int> fds;
    for (const auto& vcpu : vcpus_) fds.push_back(vcpu->fd());
    auto rings = TERN_TRY(make_kvm_ring_tracker(vm, fds, options_.dirty_ring, log));
    rings_.store(rings.get());
    return std::unique_ptr<DirtyTracker>(std::move(rings));
  }

  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override { crew_->hold(vcpu, time); }

 protected:
  Result<void> stop_vcpus() noexcept override {
    crew_->stop();
    return {};
  }
  Result<void> start_vcpus() noexcept override {
    halted_ = 0;
    crew_->start();
    return {};
  }

 private:
  Result<void> open_kvm() noexcept;
  Result<void> create_vm() noexcept;
  Result<void> create_vcpus() noexcept;
  Result<void> load_guest() noexcept;
  void run_vcpu(uint32_t index) noexcept;
  Result<void> dirty_ring_full(uint32_t index) noexcept override {
    KvmRingTracker* const rings = rings_.load();
    // Without a tracker nothing is logged.
    return rings != nullptr ? rings->ring_full(index) : Result<void>();
  }

  uint8_t in(uint16_t port) noexcept override {
    if (port == kPort92) return port92_.in();
    if (port >= Serial::kBasePort && port < Serial::kBasePort + Serial::kPorts) {
      return serial_.read(static_cast<uint16_t>(port - Serial::kBasePort));
    }
    return 0xff;
  }
  bool out(uint16_t port, uint8_t value) noexcept override {
    if (port == kPort92) return port92_.out(value);
    if (port >= Serial::kBasePort && port < Serial::kBasePort + Serial::kPorts) {
      serial_.write(static_cast<uint16_t>(port - Serial::kBasePort), value);
    }
    return true;
  }

  const KvmOptions options_;
  Serial serial_;
  Port92 port92_;
  UniqueFd kvm_;
  UniqueFd vm_;
  Cpuid cpuid_;
  KvmStateFormat format_;
  std::vector<KvmSlot> slots_;
  std::vector<std::unique_ptr<KvmVcpu>> vcpus_;
  std::vector<DeviceSection*> devices_;
  std::atomic<KvmRingTracker*> rings_ = nullptr;  ///< the caller of make_tracker owns it
  std::atomic<uint32_t> halted_ = 0;              ///< vCPUs halted since the last start
  std::unique_ptr<Crew> crew_;  ///< last: its end joins the threads that use the rest
};

Result<void> KvmMachine::open_kvm() noexcept {
  kvm_ = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm_) return errno_error(ErrorCode::unsupported, "/dev/kvm", errno);
  if (const int version = ::ioctl(kvm_.get(), KVM_GET_API_VERSION, 0); version != 12) {
    return Error(ErrorCode::unsupported, "KVM API version " + std::to_string(version) + ", not 12");
  }
  cpuid_ = TERN_TRY(supported_cpuid(kvm_.get()));
  return {};
}

Result<void> KvmMachine::create_vm() noexcept {
  vm_ = UniqueFd(::ioctl(kvm_.get(), KVM_CREATE_VM, 0));
  if (!vm_) return errno_error(ErrorCode::unsupported, "KVM_CREATE_VM", errno);
  uint64_t identity_map = kIdentityMapAddress;
  if (::ioctl(vm_.get(), KVM_SET_IDENTITY_MAP_ADDR, &identity_map) != 0 ||
      ::ioctl(vm_.get(), KVM_SET_TSS_ADDR, kTssAddress) != 0) {
    return errno_error(ErrorCode::device, "placing KVM's own pages", errno);
  }
  if (options_.dirty_ring != 0) {
    TERN_TRY(enable_kvm_dirty_ring(vm_.get(), options_.dirty_ring).context("--dirty-ring"));
  }
  for (size_t i = 0; i < ram().size(); ++i) {
    const RamBlock& block = ram()[i];
    kvm_userspace_memory_region region{};
    region.slot = static_cast<uint32_t>(i);
    region.guest_phys_addr = block.gpa;
    region.memory_size = block.used_bytes;
    region.userspace_addr = reinterpret_cast<uintptr_t>(block.host);
    if (::ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
      return errno_error(ErrorCode::device, "giving RAM " + block.idstr + " to KVM", errno);
    }
    slots_.push_back({region.slot, 0, i, 0, block.used_bytes, block.gpa});
  }
  return {};
}

Result<void> KvmMachine::create_vcpus() noexcept {
  const int run_bytes = ::ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < static_cast<int>(sizeof(kvm_run))) {
    return errno_error(ErrorCode::unsupported, "KVM_GET_VCPU_MMAP_SIZE", errno);
  }
  const KvmVcpu::Host host{kvm_.get(), vm_.get(), static_cast<size_t>(run_bytes), &cpuid_};
  for (uint32_t i = 0; i < vcpus(); ++i) {
    vcpus_.push_back(TERN_TRY(KvmVcpu::create(host, i, *this, log())));
    devices_.push_back(vcpus_.back().get());
  }
  devices_.push_back(&serial_);
  devices_.push_back(&port92_);
  format_ = TERN_TRY(probe_state_format(kvm_.get(), vm_.get(), vcpus_.front()->fd()));

  // The handler does nothing: that the signal is delivered at all is what ends KVM_RUN.
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigemptyset(&action.sa_mask);
  if (::sigaction(kKickSignal, &action, nullptr) != 0) {
    return errno_error(ErrorCode::internal, "sigaction", errno);
  }
  const auto kick = [this](uint32_t i, std::thread& thread) {
    vcpus_[i]->kick();
    // Fails only for a thread that has ended, which needs no kick.
    [[maybe_unused]] const int sent = ::pthread_kill(thread.native_handle(), kKickSignal);
  };
  crew_ = TERN_TRY(Crew::create(vcpus(), {[this](uint32_t i) { run_vcpu(i); }, kick, kick}));
  for (auto& vcpu : vcpus_) vcpu->attach(format_, *crew_);
  return {};
}

Result<void> KvmMachine::load_guest() noexcept {
  GuestParams params = options_.params;
  params.ticks_per_page = 0;
  if (options_.pages_per_second != 0) {
    const int khz = ::ioctl(vcpus_.front()->fd(), KVM_GET_TSC_KHZ, 0);
    if (khz <= 0) return Error(ErrorCode::unsupported, "KVM does not tell the TSC rate");
    params.ticks_per_page =
        static_cast<uint64_t>(khz) * 1000 * params.vcpus / options_.pages_per_second;
  }
  const auto boot = options_.boot.empty() ? built_in_guest() : std::span(options_.boot);
  TERN_TRY(memory().write(kBootGpa, boot));
  return memory().write(kParamsGpa, encode_params(params));
}

void KvmMachine::run_vcpu(uint32_t index) noexcept {
  switch (vcpus_[index]->run()) {
    case VcpuEnd::none:
      return;
    case VcpuEnd::halted:
      if (++halted_ == vcpus()) guest_ended();
      return;
    case VcpuEnd::shut_down:
    case VcpuEnd::crashed:
      guest_ended();
      return;
  }
}

}  // namespace

std::span<const std::byte> built_in_guest() noexcept { return std::as_bytes(std::span(kGuestBin)); }

Result<std::unique_ptr<VmMachine>> make_kvm_machine(Ram ram, const KvmOptions& options,
                                                    SerialSink serial, LogSink& log) noexcept {
  auto machine = std::make_unique<KvmMachine>(std::move(ram), options, std::move(serial), log);
  TERN_TRY(machine->set_up());
  return std::unique_ptr<VmMachine>(std::move(machine));
}

}  // namespace tern::vmm
