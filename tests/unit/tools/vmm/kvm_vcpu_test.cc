// SPDX-License-Identifier: Apache-2.0
//
// The loop around KVM_RUN and its exits are seen through whole guests in kvm_machine_test.cc; here
// is what needs no guest.
#include "tools/vmm/kvm_vcpu.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/guest_params.h"

namespace tern::vmm {
namespace {

class NoPorts final : public PortBus {
 public:
  uint8_t in(uint16_t) noexcept override { return 0xff; }
  bool out(uint16_t, uint8_t) noexcept override { return true; }
};

TEST(kvm_vcpu, it_starts_in_real_mode_at_7c00_and_knows_its_number) {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) GTEST_SKIP() << "no KVM here: /dev/kvm: " << std::strerror(errno);
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  const Cpuid cpuid = must(supported_cpuid(kvm.get()));
  const KvmVcpu::Host host{kvm.get(), vm.get(),
                           static_cast<size_t>(::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0)),
                           &cpuid};
  NoPorts ports;
  const auto vcpu = must(KvmVcpu::create(host, 1, ports, null_log()));
  kvm_regs regs{};
  kvm_sregs sregs{};
  ASSERT_EQ(::ioctl(vcpu->fd(), KVM_GET_REGS, &regs), 0);
  ASSERT_EQ(::ioctl(vcpu->fd(), KVM_GET_SREGS, &sregs), 0);
  EXPECT_EQ(regs.rip, 0x7c00U);
  EXPECT_EQ(regs.rax, kVcpuMagic);
  EXPECT_EQ(regs.rbx, 1U);
  EXPECT_EQ(sregs.cs.base, 0U);
  EXPECT_EQ(sregs.cr0 & 1U, 0U);
  EXPECT_EQ(vcpu->id().idstr, "tern-kvm/cpu");
  EXPECT_EQ(vcpu->id().instance_id, 1U);
  EXPECT_FALSE(KvmVcpu::create(host, 1, ports, null_log())) << "the number is taken";
}

}  // namespace
}  // namespace tern::vmm
