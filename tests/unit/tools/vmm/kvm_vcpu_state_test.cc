// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/kvm_vcpu_state.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/kvm_cpuid.h"
#include "tools/vmm/kvm_flex.h"

namespace tern::vmm {
namespace {

constexpr uint32_t kMsrTsc = 0x10;
constexpr uint32_t kMsrSysenterEip = 0x176;
// Where things stand in an XSAVE area.
constexpr size_t kXmm3 = 160 + 3 * 16;
constexpr size_t kXstateBv = 512;

class KvmVcpuState : public testing::Test {
 protected:
  void SetUp() override {
    kvm_ = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm_) GTEST_SKIP() << "no KVM here: /dev/kvm: " << std::strerror(errno);
    vm_ = UniqueFd(::ioctl(kvm_.get(), KVM_CREATE_VM, 0));
    for (int i = 0; i < 2; ++i) {
      vcpus_[i] = UniqueFd(::ioctl(vm_.get(), KVM_CREATE_VCPU, i));
      ASSERT_TRUE(vcpus_[i]);
      must(set_cpuid(vcpus_[i].get(), must(supported_cpuid(kvm_.get()))));
    }
    format_ = must(probe_state_format(kvm_.get(), vm_.get(), vcpus_[0].get()));
  }
  unsigned long get_xsave() const { return format_.xsave2 ? kKvmGetXsave2 : kKvmGetXsave; }
  uint64_t msr(int vcpu, uint32_t index) {
    KvmMsrs one(1);
    one.elements()[0].index = index;
    EXPECT_EQ(::ioctl(vcpus_[vcpu].get(), kKvmGetMsrs, one.data()), 1);
    return one.elements()[0].data;
  }
  void set_msr(int vcpu, uint32_t index, uint64_t value) {
    KvmMsrs one(1);
    one.elements()[0].index = index;
    one.elements()[0].data = value;
    EXPECT_EQ(::ioctl(vcpus_[vcpu].get(), kKvmSetMsrs, one.data()), 1);
  }

  UniqueFd kvm_;
  UniqueFd vm_;
  UniqueFd vcpus_[2];
  KvmStateFormat format_;
  kvm_run run_{};
};

TEST_F(KvmVcpuState, registers_fpu_debug_and_msrs_move) {
  kvm_regs regs{};
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_GET_REGS, &regs), 0);
  regs.rax = 0x1122334455667788;
  regs.r15 = 15;
  regs.rip = 0xabc;
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_SET_REGS, &regs), 0);
  kvm_sregs sregs{};
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_GET_SREGS, &sregs), 0);
  sregs.cr2 = 0x1234;
  sregs.fs.base = 0x50;
  sregs.fs.selector = 5;
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_SET_SREGS, &sregs), 0);
  std::vector<uint8_t> xsave(format_.xsave_bytes);
  ASSERT_EQ(::ioctl(vcpus_[0].get(), get_xsave(), xsave.data()), 0);
  xsave[kXmm3] = 0x77;
  xsave[kXstateBv] |= 2;  // SSE is in use
  ASSERT_EQ(::ioctl(vcpus_[0].get(), kKvmSetXsave, xsave.data()), 0);
  kvm_debugregs debug{};
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_GET_DEBUGREGS, &debug), 0);
  debug.db[2] = 0x4000;
  ASSERT_EQ(::ioctl(vcpus_[0].get(), KVM_SET_DEBUGREGS, &debug), 0);
  set_msr(0, kMsrSysenterEip, 0xfeed);

  DeviceWriter writer;
  must(save_vcpu_state(vcpus_[0].get(), format_, writer));
  DeviceReader reader(writer.bytes(), 0);
  must(load_vcpu_state(vcpus_[1].get(), format_, reader, run_));
  EXPECT_EQ(reader.left(), 0U);

  kvm_regs regs1{};
  kvm_sregs sregs1{};
  std::vector<uint8_t> xsave1(format_.xsave_bytes);
  kvm_debugregs debug1{};
  ASSERT_EQ(::ioctl(vcpus_[1].get(), KVM_GET_REGS, &regs1), 0);
  ASSERT_EQ(::ioctl(vcpus_[1].get(), KVM_GET_SREGS, &sregs1), 0);
  ASSERT_EQ(::ioctl(vcpus_[1].get(), get_xsave(), xsave1.data()), 0);
  ASSERT_EQ(::ioctl(vcpus_[1].get(), KVM_GET_DEBUGREGS, &debug1), 0);
  EXPECT_EQ(std::memcmp(&regs, &regs1, sizeof regs), 0);
  EXPECT_EQ(sregs1.cr2, 0x1234U);
  EXPECT_EQ(sregs1.fs.base, 0x50U);
  EXPECT_EQ(xsave1[kXmm3], 0x77);
  EXPECT_EQ(debug1.db[2], 0x4000U);
  EXPECT_EQ(msr(1, kMsrSysenterEip), 0xfeedU);
}

TEST_F(KvmVcpuState, the_time_stamp_counter_is_among_the_msrs_and_goes_on) {
  EXPECT_NE(std::find(format_.msrs.begin(), format_.msrs.end(), kMsrTsc), format_.msrs.end());
  set_msr(0, kMsrTsc, 1ull << 50);
  if (msr(0, kMsrTsc) < 1ull << 50) GTEST_SKIP() << "this KVM shows its guests the host's counter";
  DeviceWriter writer;
  must(save_vcpu_state(vcpus_[0].get(), format_, writer));
  DeviceReader reader(writer.bytes(), 0);
  must(load_vcpu_state(vcpus_[1].get(), format_, reader, run_));
  EXPECT_GE(msr(1, kMsrTsc), 1ull << 50);
}

TEST_F(KvmVcpuState, an_msr_this_host_does_not_know_is_named_unless_it_is_zero) {
  DeviceWriter writer;
  must(save_vcpu_state(vcpus_[0].get(), format_, writer));
  KvmStateFormat poorer = format_;
  std::erase(poorer.msrs, kMsrSysenterEip);
  DeviceReader zero(writer.bytes(), 0);
  EXPECT_TRUE(load_vcpu_state(vcpus_[1].get(), poorer, zero, run_));
  set_msr(0, kMsrSysenterEip, 0xfeed);
  DeviceWriter second;
  must(save_vcpu_state(vcpus_[0].get(), format_, second));
  DeviceReader set(second.bytes(), 0);
  const auto refused = load_vcpu_state(vcpus_[1].get(), poorer, set, run_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("MSR 0x176 = 0xfeed"), std::string::npos)
      << refused.error().message();
}

TEST_F(KvmVcpuState, random_damage_ends_in_an_error_or_a_state_never_in_a_crash) {
  DeviceWriter writer;
  must(save_vcpu_state(vcpus_[0].get(), format_, writer));
  uint64_t random = 1;
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> bytes(writer.bytes().begin(), writer.bytes().end());
    for (int j = 0; j < 4; ++j) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      bytes[(random >> 33) % bytes.size()] = static_cast<std::byte>(random >> 24);
    }
    DeviceReader reader(bytes, 0);
    load_vcpu_state(vcpus_[1].get(), format_, reader, run_).ignore("either outcome is right");
  }
}

}  // namespace
}  // namespace tern::vmm
